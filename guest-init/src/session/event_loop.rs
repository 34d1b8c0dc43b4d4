//! The poll loop over the channel, the children and their pipes.
//!
//! Before it: [`super`], which has prepared the guest. [`super::requests`] handles the requests.

use std::{os::fd::AsFd, time::Instant};

use anyhow::{Context, Result};
use kiln_protocol::{Exhausted, ExitStatus, FromGuest};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Flow, Session, TERMINATION_SIGNALS};
use crate::{
    file,
    port::Peer,
    reap::{self, Reaped},
    task::{ExportDetail, Phase, Running, Task},
};

impl Session<'_> {
    pub(super) fn run(mut self) -> Result<()> {
        loop {
            // Every source is tried at each wake-up: none blocks, and one without bytes costs a system call.
            if self.port.write()? == Peer::Gone {
                return Ok(());
            }
            self.wait()?;
            if self.take_signals()? == Flow::End || self.port.receive()? == Peer::Gone {
                return Ok(());
            }
            while let Some(request) = self.port.request()? {
                if self.handle(request)? == Flow::End {
                    return Ok(());
                }
            }
            self.enforce_deadline()?;
            self.feed_input()?;
            self.relay.forward(self.port)?;
            self.output.forward(self.port)?;
            self.report_ended_step()?;
            self.send_export()?;
            self.reads.take();
        }
    }

    /// Waits until there is something to do. Pipes and files are left alone while the queue is full.
    fn wait(&self) -> Result<()> {
        let mut fds = vec![
            PollFd::new(self.port.input(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        if self.port.wants_to_write() {
            fds.push(PollFd::new(self.port.output(), PollFlags::POLLOUT));
        }
        if let Task::Step(Running { input, .. }) = &self.task {
            fds.extend(input.waits_for().map(|stdin| PollFd::new(stdin, PollFlags::POLLOUT)));
        }
        fds.extend(self.reads.waits_for().map(|group| PollFd::new(group, PollFlags::POLLIN)));
        if self.port.has_room() {
            fds.extend(self.output.descriptors().map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)));
            fds.extend(self.relay.waits_for());
        }
        match poll(&mut fds, self.time_left()) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno).context("wait for something to do"),
        }
    }

    fn time_left(&self) -> PollTimeout {
        match &self.task {
            Task::Export(_) if self.port.has_room() => PollTimeout::ZERO,
            // An empty terminal does not wake us.
            Task::Step(Running { phase: Phase::Ended(_), .. }) if self.port.has_room() => PollTimeout::ZERO,
            Task::Step(Running { deadline: Some(deadline), phase: Phase::Runs, .. }) => {
                // Rounded up, so that the deadline has passed at the wake-up; poll takes no more than 24 days at once.
                let millis = deadline.saturating_duration_since(Instant::now()).as_millis() + 1;
                PollTimeout::try_from(millis.min(i32::MAX as u128)).unwrap_or(PollTimeout::MAX)
            }
            Task::Idle | Task::Step(_) | Task::Draining(..) | Task::Export(_) => PollTimeout::NONE,
        }
    }

    fn take_signals(&mut self) -> Result<Flow> {
        while let Some(signal) = self.signals.read_signal().context("read signals")? {
            if TERMINATION_SIGNALS.iter().any(|ends| *ends as u32 == signal.ssi_signo) {
                return Ok(Flow::End);
            }
            self.reap()?;
        }
        Ok(Flow::Continue)
    }

    pub(super) fn reap(&mut self) -> Result<()> {
        loop {
            let found = reap::next()?;
            if let Task::Step(running) = &mut self.task {
                let status = match (&running.phase, &found) {
                    (Phase::Runs, Reaped::Ended { pid, status }) if *pid == running.pid => Some(*status),
                    (Phase::Killed(status), Reaped::NoneLeft) => Some(*status),
                    _ => None,
                };
                if let Some(status) = status {
                    running.phase = Phase::Ended(status);
                    self.output.mark_pending(running.index)?;
                }
            }
            if let (Task::Draining(target, detail), Reaped::NoneLeft) = (&self.task, &found) {
                let export = match detail {
                    ExportDetail::Content => self.uppers.export(target)?,
                    ExportDetail::Names => self.uppers.list(target)?,
                };
                self.task = Task::Export(Box::new(export));
            }
            if !matches!(found, Reaped::Ended { .. }) {
                return Ok(());
            }
        }
    }

    /// Writes input to the step, and opens the window for as many bytes again.
    fn feed_input(&mut self) -> Result<()> {
        let Task::Step(Running { index, input, .. }) = &mut self.task else { return Ok(()) };
        match input.feed() {
            0 => Ok(()),
            // At most a window, which fits.
            count => self.port.send(&FromGuest::Consumed { step: *index, bytes: count as u32 }),
        }
    }

    fn enforce_deadline(&mut self) -> Result<()> {
        match &self.task {
            Task::Step(Running { deadline: Some(deadline), phase: Phase::Runs, .. })
                if *deadline <= Instant::now() =>
            {
                self.kill(ExitStatus::TimedOut)
            }
            Task::Idle | Task::Step(_) | Task::Draining(..) | Task::Export(_) => Ok(()),
        }
    }

    fn report_ended_step(&mut self) -> Result<()> {
        let Task::Step(Running { index, phase: Phase::Ended(status), memory, files, .. }) = &self.task else {
            return Ok(());
        };
        if self.output.has_pending(*index) {
            return Ok(());
        }
        file::remove_all(files);
        let exhausted = match status.success() {
            true => Exhausted::default(),
            false => self.gauges.exhausted(*memory),
        };
        self.port.send(&FromGuest::Ended { step: *index, status: *status, exhausted })?;
        self.task = Task::Idle;
        Ok(())
    }

    fn send_export(&mut self) -> Result<()> {
        let Task::Export(export) = &mut self.task else { return Ok(()) };
        if !self.port.has_room() {
            return Ok(());
        }
        if self.port.send_data(|room| export.fill(room))? == 0 {
            let exported = FromGuest::Exported { entries: export.entries(), bytes: export.bytes() };
            self.task = Task::Idle;
            self.port.send(&exported)?;
        }
        Ok(())
    }
}
