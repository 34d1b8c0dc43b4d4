//! Ctrl-C, SIGTERM, SIGHUP: the first ends a build in order, the second at once.

use anyhow::{Context, Result};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::engine::{Interrupt, Interrupts};

/// Runs `work`. The first signal is passed to it; the second one abandons it, and its children are killed.
pub(super) async fn guard<T>(work: impl AsyncFnOnce(Interrupts) -> Result<T>) -> Result<T> {
    let (sender, receiver) = watch::channel(None);
    let mut signals = Signals::listen()?;
    let second = async {
        sender.send_replace(Some(signals.next().await));
        signals.next().await
    };
    tokio::select! {
        result = work(Interrupts::new(receiver)) => result,
        signal = second => Err(signal.failure().into()),
    }
}

/// Runs `work`, which the first signal abandons: for work without steps that could end in order.
pub(super) async fn abortable<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        result = work => result,
        signal = signals.next() => Err(signal.failure().into()),
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.interrupt.recv() => Interrupt::Interrupt,
            _ = self.terminate.recv() => Interrupt::Terminate,
            _ = self.hangup.recv() => Interrupt::Terminate,
        }
    }
}
