//! The session with the host: opens the channel, prepares the guest, and runs the poll loop.
//!
//! Before it: a channel ([`boot`], [`stdio`]). After it: [`end`](crate::end). Only the poll blocks, so that `Cancel` and the end of
//! the channel are seen whatever a step or an export does.

mod event_loop;
mod requests;

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context, Result, anyhow, bail};
use kiln_protocol::{FromGuest, OnExit, ToGuest};
use kiln_reads::Reader;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};

use crate::{
    boot,
    environment::Environment,
    exec,
    gauges::Gauges,
    late_devices::Places,
    log,
    output::OutputPipes,
    port::{self, Peer, Port},
    prepare, processes,
    relay::Relay,
    stdio,
    task::Task,
    upper::Uppers,
};

/// The longest sentence of [`FromGuest::Failed`], in characters: it must fit a frame, and may quote long paths.
const MAX_SENTENCE_CHARS: usize = 8 * 1024;

/// Signals that ask the agent to end in order.
const TERMINATION_SIGNALS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// Runs the whole session. An error is sent to the host if possible. Returns also what the configuration has for the end.
pub(crate) fn serve(environment: Environment) -> (Result<()>, Vec<OnExit>) {
    log::keep_panics();
    let (mut port, mut on_exit) = (None, Vec::new());
    let caught = catch_unwind(AssertUnwindSafe(|| run(environment, &mut port, &mut on_exit)));
    let result = caught.unwrap_or_else(|_| Err(anyhow!(log::panicked())));
    let reported = match (&result, &mut port) {
        (Err(error), Some(port)) => report(port, error),
        _ => Ok(()),
    };
    (result.and(reported), on_exit)
}

fn report(port: &mut Port, error: &anyhow::Error) -> Result<()> {
    let why = format!("{error:#}").chars().take(MAX_SENTENCE_CHARS).collect();
    port.send(&FromGuest::Failed { why })?;
    port.flush()
}

fn run(environment: Environment, port: &mut Option<Port>, on_exit: &mut Vec<OnExit>) -> Result<()> {
    processes::shield()?;
    let port = port.insert(match environment {
        Environment::Machine => boot::open()?,
        Environment::Sandbox => stdio::open()?,
    });
    processes::adopt_orphans()?;
    let mut signals = SigSet::empty();
    TERMINATION_SIGNALS.iter().chain(&[Signal::SIGCHLD]).for_each(|signal| signals.add(*signal));
    signals.thread_block().context("block signals")?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .context("make a descriptor for signals")?;
    match prepare(port, on_exit)? {
        Some(Prepared { capabilities, uppers, reads, gauges }) => {
            let (output, relay) = (OutputPipes::default(), Relay::default());
            let task = Task::Idle;
            Session { port, signals, capabilities, uppers, reads, gauges, output, relay, task }.run()
        }
        None => Ok(()),
    }
}

/// The part of a prepared guest that the session needs.
struct Prepared {
    capabilities: exec::Capabilities,
    uppers: Uppers,
    reads: Reader,
    gauges: Gauges,
}

/// Waits for `Prepare` and does it; `None` when the host ends the session before.
fn prepare(port: &mut Port, on_exit: &mut Vec<OnExit>) -> Result<Option<Prepared>> {
    loop {
        match port.request()? {
            Some(ToGuest::Prepare(config)) => {
                let capabilities = exec::Capabilities::new(config.capabilities.as_deref());
                let prepare::PreparedGuest { phases, uppers, reads, gauges } = prepare::run(&config)?;
                *on_exit = config.on_exit;
                port.send(&FromGuest::Ready { phases })?;
                return Ok(Some(Prepared { capabilities, uppers, reads, gauges }));
            }
            Some(ToGuest::Greet) => {
                // Only a machine is restored, and that was told its places before.
                port.send(&port::hello(&Places::default())?)?;
                port.flush()?;
            }
            Some(ToGuest::Shutdown) => return Ok(None),
            Some(
                ToGuest::Clock { .. }
                | ToGuest::Run(_)
                | ToGuest::Input { .. }
                | ToGuest::Resize { .. }
                | ToGuest::Cancel
                | ToGuest::Export { .. }
                | ToGuest::ExportUpper { .. }
                | ToGuest::ListUpper { .. }
                | ToGuest::ReadFile { .. }
                | ToGuest::FindFiles { .. }
                | ToGuest::Reads
                | ToGuest::Trust(_)
                | ToGuest::Secrets(_)
                | ToGuest::Relay(_)
                | ToGuest::ForwardData(_),
            ) => {
                bail!("a request came before the guest was prepared")
            }
            None => {
                poll(&mut [PollFd::new(port.input(), PollFlags::POLLIN)], PollTimeout::NONE)
                    .context("wait for a request")?;
                if port.receive()? == Peer::Gone {
                    return Ok(None);
                }
            }
        }
    }
}

/// A prepared guest, and the task in it.
struct Session<'p> {
    port: &'p mut Port,
    signals: SignalFd,
    capabilities: exec::Capabilities,
    uppers: Uppers,
    reads: Reader,
    gauges: Gauges,
    output: OutputPipes,
    relay: Relay,
    task: Task,
}

/// Whether the session goes on.
#[derive(PartialEq, Eq)]
enum Flow {
    Continue,
    End,
}
