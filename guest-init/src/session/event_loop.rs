//! The poll loop: waits for the channel, the children and their pipes, and sees to whichever is ready.
//!
//! Before it: [`super`], which has prepared the world. Requests are answered by [`super::requests`].

use std::{os::fd::AsFd, time::Instant};

use anyhow::{Context, Result};
use kiln_protocol::{Exhausted, ExitStatus, FromGuest};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{ENDING, Flow, Session};
use crate::{
    file,
    port::Peer,
    reap::{self, Reaped},
    task::{Phase, Running, Sent, Work},
};

impl Session<'_> {
    pub(super) fn run(mut self) -> Result<()> {
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
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
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

    pub(super) fn reap(&mut self) -> Result<()> {
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

    /// Gives the step of its input what it takes, and opens the window again for as much.
    fn feed_the_step(&mut self) -> Result<()> {
        let Work::Step(Running { index, input, .. }) = &mut self.work else { return Ok(()) };
        match input.feed() {
            0 => Ok(()),
            // No more than a window, which fits.
            count => self.port.send(&FromGuest::Consumed { step: *index, bytes: count as u32 }),
        }
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
