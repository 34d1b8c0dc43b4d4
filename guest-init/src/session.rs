//! The conversation with the host: one poll loop over the channel, the children and their pipes.
//!
//! Before it: a channel ([`boot`], [`stdio`]). After it: [`end`](crate::end). Nothing here
//! blocks but the poll, so that `Cancel` and the end of the channel are seen whatever a step or an export does.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use kiln_protocol::{Exhausted, ExitStatus, FromGuest, OnExit, Step, ToGuest};
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
    environment::Place,
    exec,
    export::Export,
    file,
    gauges::Gauges,
    input::Input,
    log,
    output::OutputPipes,
    port::{Peer, Port},
    processes,
    reap::{self, Reaped},
    relay::Relay,
    secrets, stdio,
    task::{Phase, Running, Sent, Work},
    trust,
    upper::Uppers,
    world,
};

/// The longest sentence of [`FromGuest::Failed`], in characters: it must fit a frame whatever paths it quotes.
const SENTENCE: usize = 8 * 1024;

/// Signals that ask the agent to end in order.
const ENDING: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// Holds the whole conversation; an error has been sent to the host, if it could be. Besides how it ended it gives what
/// the world wants done at its end.
pub(crate) fn serve(place: Place) -> (Result<()>, Vec<OnExit>) {
    log::keep_panics();
    let (mut port, mut closing) = (None, Vec::new());
    let held = catch_unwind(AssertUnwindSafe(|| converse(place, &mut port, &mut closing)));
    let result = held.unwrap_or_else(|_| Err(anyhow!(log::panicked())));
    let told = match (&result, &mut port) {
        (Err(error), Some(port)) => tell(port, error),
        _ => Ok(()),
    };
    (result.and(told), closing)
}

fn tell(port: &mut Port, error: &anyhow::Error) -> Result<()> {
    let why = format!("{error:#}").chars().take(SENTENCE).collect();
    port.send(&FromGuest::Failed { why })?;
    port.flush()
}

fn converse(place: Place, port: &mut Option<Port>, closing: &mut Vec<OnExit>) -> Result<()> {
    processes::shield()?;
    let port = port.insert(match place {
        Place::Machine => boot::open()?,
        Place::Sandbox => stdio::open()?,
    });
    processes::adopt_orphans()?;
    let mut signals = SigSet::empty();
    ENDING.iter().chain(&[Signal::SIGCHLD]).for_each(|signal| signals.add(*signal));
    signals.thread_block().context("block signals")?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .context("make a descriptor for signals")?;
    match prepare(port, closing)? {
        Some(Prepared { capabilities, uppers, reads, gauges }) => {
            let (taps, relay) = (OutputPipes::default(), Relay::default());
            let work = Work::None;
            Session { port, signals, capabilities, uppers, reads, gauges, taps, relay, work }.run()
        }
        None => Ok(()),
    }
}

/// What is kept of `Prepare`.
struct Prepared {
    capabilities: exec::Capabilities,
    uppers: Uppers,
    reads: Reader,
    gauges: Gauges,
}

/// Waits for `Prepare` and does it; nothing when the host ends it all.
fn prepare(port: &mut Port, closing: &mut Vec<OnExit>) -> Result<Option<Prepared>> {
    loop {
        match port.request()? {
            Some(ToGuest::Prepare(world)) => {
                let capabilities = exec::Capabilities::new(world.capabilities.as_deref());
                let world::Made { phases, uppers, reads, gauges } = world::make(&world)?;
                *closing = world.on_exit;
                port.send(&FromGuest::Ready { phases })?;
                return Ok(Some(Prepared { capabilities, uppers, reads, gauges }));
            }
            Some(ToGuest::Shutdown) => return Ok(None),
            Some(
                ToGuest::Run(_)
                | ToGuest::Input { .. }
                | ToGuest::Resize { .. }
                | ToGuest::Cancel
                | ToGuest::Export { .. }
                | ToGuest::ExportUpper { .. }
                | ToGuest::ListUpper { .. }
                | ToGuest::Reads
                | ToGuest::Trust(_)
                | ToGuest::Secrets(_)
                | ToGuest::Relay(_)
                | ToGuest::ForwardData(_),
            ) => {
                bail!("a request came before the world was prepared")
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

/// A prepared world, and what is done in it.
struct Session<'p> {
    port: &'p mut Port,
    signals: SignalFd,
    capabilities: exec::Capabilities,
    uppers: Uppers,
    reads: Reader,
    gauges: Gauges,
    taps: OutputPipes,
    relay: Relay,
    work: Work,
}

/// Whether the conversation goes on.
#[derive(PartialEq, Eq)]
enum Flow {
    GoesOn,
    Ends,
}

impl Session<'_> {
    fn run(mut self) -> Result<()> {
        loop {
            // Every source is tried at each wake: none blocks, and a wake without bytes costs a system call.
            if self.port.write()? == Peer::Gone {
                return Ok(());
            }
            self.wait()?;
            if self.take_signals()? == Flow::Ends || self.port.receive()? == Peer::Gone {
                return Ok(());
            }
            while let Some(request) = self.port.request()? {
                if self.answer(request)? == Flow::Ends {
                    return Ok(());
                }
            }
            self.keep_the_deadline()?;
            self.feed_the_step()?;
            self.relay.forward(self.port)?;
            self.taps.forward(self.port)?;
            self.answer_an_ended_step()?;
            self.continue_the_export()?;
            self.reads.take();
        }
    }

    /// Waits until there is something to do. Pipes and files are left alone while the queue is full.
    fn wait(&self) -> Result<()> {
        let mut fds = vec![
            PollFd::new(self.port.input(), PollFlags::POLLIN),
            PollFd::new(std::os::fd::AsFd::as_fd(&self.signals), PollFlags::POLLIN),
        ];
        if self.port.wants_to_write() {
            fds.push(PollFd::new(self.port.output(), PollFlags::POLLOUT));
        }
        if let Work::Step(Running { input, .. }) = &self.work {
            fds.extend(input.waits_for().map(|stdin| PollFd::new(stdin, PollFlags::POLLOUT)));
        }
        fds.extend(self.reads.waits_for().map(|group| PollFd::new(group, PollFlags::POLLIN)));
        if self.port.has_room() {
            fds.extend(self.taps.pipes().map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)));
            fds.extend(self.relay.waits_for());
        }
        match poll(&mut fds, self.time_left()) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno).context("wait for something to do"),
        }
    }

    fn time_left(&self) -> PollTimeout {
        match &self.work {
            Work::Export(_) if self.port.has_room() => PollTimeout::ZERO,
            // A terminal does not wake us when it holds nothing more.
            Work::Step(Running { phase: Phase::Ended(_), .. }) if self.port.has_room() => PollTimeout::ZERO,
            Work::Step(Running { deadline: Some(deadline), phase: Phase::Runs, .. }) => {
                // Rounded up, so that the deadline has passed at the wake; poll takes no more than 24 days at once.
                let millis = deadline.saturating_duration_since(Instant::now()).as_millis() + 1;
                PollTimeout::try_from(millis.min(i32::MAX as u128)).unwrap_or(PollTimeout::MAX)
            }
            Work::None | Work::Step(_) | Work::Draining(..) | Work::Export(_) => PollTimeout::NONE,
        }
    }

    fn take_signals(&mut self) -> Result<Flow> {
        while let Some(signal) = self.signals.read_signal().context("read signals")? {
            if ENDING.iter().any(|ending| *ending as u32 == signal.ssi_signo) {
                return Ok(Flow::Ends);
            }
            self.reap()?;
        }
        Ok(Flow::GoesOn)
    }

    fn reap(&mut self) -> Result<()> {
        loop {
            let found = reap::next()?;
            if let Work::Step(running) = &mut self.work {
                let status = match (&running.phase, &found) {
                    (Phase::Runs, Reaped::Ended { pid, status }) if *pid == running.pid => Some(*status),
                    (Phase::Killed(status), Reaped::NoneLeft) => Some(*status),
                    _ => None,
                };
                if let Some(status) = status {
                    running.phase = Phase::Ended(status);
                    self.taps.owe(running.index)?;
                }
            }
            if let (Work::Draining(target, sent), Reaped::NoneLeft) = (&self.work, &found) {
                let export = match sent {
                    Sent::Everything => self.uppers.export(target)?,
                    Sent::Names => self.uppers.list(target)?,
                };
                self.work = Work::Export(Box::new(export));
            }
            if !matches!(found, Reaped::Ended { .. }) {
                return Ok(());
            }
        }
    }

    fn answer(&mut self, request: ToGuest) -> Result<Flow> {
        match (request, &mut self.work) {
            (ToGuest::Shutdown, _) => return Ok(Flow::Ends),
            (ToGuest::Cancel, Work::None | Work::Step(_)) => self.kill(ExitStatus::Cancelled)?,
            (ToGuest::Cancel, Work::Draining(..) | Work::Export(_)) => bail!("the export was cancelled"),
            (ToGuest::Trust(given), Work::None) => trust::install(&given)?,
            (ToGuest::Secrets(given), Work::None) => secrets::write(&given)?,
            (ToGuest::Relay(ports), Work::None) => self.relay.listen(&ports)?,
            (ToGuest::ForwardData(passage), _) => self.relay.take(passage)?,
            (ToGuest::Run(step), Work::None) => self.start(&step)?,
            // What comes for a step that has just ended is nobody's.
            (
                ToGuest::Input { .. } | ToGuest::Resize { .. },
                Work::None | Work::Draining(..) | Work::Export(_),
            ) => {}
            (ToGuest::Input { bytes }, Work::Step(running)) => running.input.take(&bytes)?,
            (ToGuest::Resize { rows, columns }, Work::Step(running)) => {
                running.input.resize(rows, columns)?
            }
            (ToGuest::Export { root, links }, Work::None) => {
                self.work = Work::Export(Box::new(Export::of(&root, links)?));
            }
            (ToGuest::Reads, Work::None) => {
                let reads = self.reads.answer();
                self.port.send(&FromGuest::Reads(reads))?;
            }
            (ToGuest::ExportUpper { target }, Work::None) => self.quiet(target, Sent::Everything)?,
            (ToGuest::ListUpper { target }, Work::None) => self.quiet(target, Sent::Names)?,
            (
                ToGuest::Run(_)
                | ToGuest::Export { .. }
                | ToGuest::ExportUpper { .. }
                | ToGuest::ListUpper { .. }
                | ToGuest::Reads
                | ToGuest::Trust(_)
                | ToGuest::Secrets(_)
                | ToGuest::Relay(_),
                Work::Step(_) | Work::Draining(..) | Work::Export(_),
            ) => {
                bail!("a request came while another was being answered")
            }
            (ToGuest::Prepare(_), _) => bail!("the world was prepared already"),
        }
        Ok(Flow::GoesOn)
    }

    /// Ends what steps have left running, for what is sent then.
    fn quiet(&mut self, target: String, sent: Sent) -> Result<()> {
        processes::kill_all()?;
        self.work = Work::Draining(target, sent);
        // When nothing was left, no signal will tell.
        self.reap()
    }

    fn start(&mut self, step: &Step) -> Result<()> {
        let memory = self.gauges.memory();
        let launched = file::write_all(&step.files).and_then(|()| {
            exec::launch(step, self.capabilities).inspect_err(|_| file::remove_all(&step.files))
        });
        let exec::Launched { pid, output, input } = match launched {
            Ok(launched) => launched,
            Err(error) => {
                let why = format!("{error:#}");
                return self.port.send(&FromGuest::Refused { step: step.index, why });
            }
        };
        self.taps.add(step.index, output);
        let limit = step.timeout_ms.map(Duration::from_millis);
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let (index, input, files) = (step.index, Input::new(input), step.files.clone());
        self.work = Work::Step(Running { index, pid, deadline, phase: Phase::Runs, input, memory, files });
        Ok(())
    }

    /// Gives the step of its input what it takes, and opens the window again for as much.
    fn feed_the_step(&mut self) -> Result<()> {
        let Work::Step(Running { index, input, .. }) = &mut self.work else { return Ok(()) };
        match input.feed() {
            0 => Ok(()),
            // No more than a window, which fits.
            count => self.port.send(&FromGuest::Consumed { step: *index, bytes: count as u32 }),
        }
    }

    /// Kills everything; a step whose first process still runs is answered with `status` when all is gone.
    fn kill(&mut self, status: ExitStatus) -> Result<()> {
        processes::kill_all()?;
        if let Work::Step(Running { phase: phase @ Phase::Runs, .. }) = &mut self.work {
            *phase = Phase::Killed(status);
        }
        Ok(())
    }

    fn keep_the_deadline(&mut self) -> Result<()> {
        match &self.work {
            Work::Step(Running { deadline: Some(deadline), phase: Phase::Runs, .. })
                if *deadline <= Instant::now() =>
            {
                self.kill(ExitStatus::TimedOut)
            }
            Work::None | Work::Step(_) | Work::Draining(..) | Work::Export(_) => Ok(()),
        }
    }

    fn answer_an_ended_step(&mut self) -> Result<()> {
        let Work::Step(Running { index, phase: Phase::Ended(status), memory, files, .. }) = &self.work else {
            return Ok(());
        };
        if self.taps.owes(*index) {
            return Ok(());
        }
        file::remove_all(files);
        let exhausted = match status.success() {
            true => Exhausted::default(),
            false => self.gauges.exhausted(*memory),
        };
        self.port.send(&FromGuest::Ended { step: *index, status: *status, exhausted })?;
        self.work = Work::None;
        Ok(())
    }

    fn continue_the_export(&mut self) -> Result<()> {
        let Work::Export(export) = &mut self.work else { return Ok(()) };
        if !self.port.has_room() {
            return Ok(());
        }
        match export.piece()? {
            Some(bytes) => self.port.send(&FromGuest::Data(bytes)),
            None => {
                let exported = FromGuest::Exported { entries: export.entries(), bytes: export.bytes() };
                self.work = Work::None;
                self.port.send(&exported)
            }
        }
    }
}
