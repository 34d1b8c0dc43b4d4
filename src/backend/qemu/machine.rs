//! A running microVM: QEMU and its daemon, which end together.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use tokio::time::timeout;

use super::monitor::Monitor;
use crate::{
    backend::{BoxFuture, Ended, Machine},
    process::{Child, ExitStatus, Tail},
    share::Server,
};

/// The limit for QEMU's exit after an orderly exit of the daemon, which exits because QEMU has closed the connection.
const QEMU_AFTER_DAEMON: Duration = Duration::from_secs(2);

/// QEMU and the daemon. Fields are dropped in this order: QEMU before the daemon that it uses.
pub(super) struct Microvm {
    qemu: Child,
    cache: Option<Server>,
    stderr: Tail,
    console: Tail,
    monitor: Monitor,
}

impl Microvm {
    pub(super) fn new(
        qemu: Child,
        stderr: Tail,
        console: Tail,
        monitor: Monitor,
        cache: Option<Server>,
    ) -> Self {
        Self { qemu, cache, stderr, console, monitor }
    }

    async fn first_end(&mut self) -> Ended {
        let Self { qemu, cache, stderr, console: _, monitor } = self;
        let daemon = async {
            match cache {
                Some(server) => server.died().await,
                None => std::future::pending().await,
            }
        };
        let died = tokio::select! {
            biased;
            status = qemu.wait() => return qemu_ended(status, stderr).await,
            stopped = monitor.stopped() => return stopped,
            died = daemon => died,
        };
        let name = cache.as_ref().map_or("virtiofsd", Server::name);
        let died = match died {
            Ok(died) => died,
            Err(error) => return daemon_ended(name, format!("cannot be waited for: {error:#}"), Vec::new()),
        };
        if died.status.success()
            && let Ok(status) = timeout(QEMU_AFTER_DAEMON, qemu.wait()).await
        {
            return qemu_ended(status, stderr).await;
        }
        daemon_ended(name, format!("ended ({})", died.status), died.last_lines)
    }
}

fn daemon_ended(name: &str, how: String, last_words: Vec<String>) -> Ended {
    Ended { part: name.into(), how, orderly: false, last_words, way_out: None }
}

/// QEMU starts no processes, so its stderr ends with it.
async fn qemu_ended(status: Result<ExitStatus>, stderr: &mut Tail) -> Ended {
    let (how, orderly, way_out) = match status {
        Ok(status) => (format!("ended ({status})"), status.success(), way_out(status)),
        Err(error) => (format!("cannot be waited for: {error:#}"), false, None),
    };
    // If the reader panicked, the lines that it had read are used.
    let last_words = stderr.last_lines().await.unwrap_or_else(|_| stderr.lines());
    Ended { part: "QEMU".into(), how, orderly, last_words, way_out }
}

/// The way out if a signal killed QEMU that the kernel sends for want of memory.
fn way_out(status: ExitStatus) -> Option<String> {
    let killed =
        [Signal::SIGKILL, Signal::SIGBUS].iter().any(|&signal| status == ExitStatus::Signal(signal as i32));
    killed.then(|| {
        "the host may have run out of memory (see its kernel's log): a smaller --memory needs less".into()
    })
}

impl Machine for Microvm {
    fn ended(&mut self) -> BoxFuture<'_, Ended> {
        Box::pin(self.first_end())
    }

    fn kill(&mut self) {
        self.qemu.kill();
        if let Some(server) = &mut self.cache {
            server.kill();
        }
    }

    fn gone(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.qemu.gone().await;
            if let Some(server) = &mut self.cache {
                server.gone().await;
            }
        })
    }

    fn last_words(&self) -> Vec<String> {
        self.console.lines()
    }
}
