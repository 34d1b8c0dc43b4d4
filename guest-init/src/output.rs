//! The pipes and terminals that steps write to, and how their output is forwarded.
//!
//! A step's pipes are read for as long as a process holds their other ends: background processes of a step may go on writing,
//! and a full pipe must not block them. A terminal ends with its step: the kernel hangs it up. [`session`](crate::session)
//! decides when a step has ended.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    os::fd::{AsFd, BorrowedFd},
};

use anyhow::{Context, Result};
use kiln_protocol::{FromGuest, Stream, frame::MAX_DATA};
use rustix::io::ioctl_fionread;

use crate::{exec::Output, port::Port, terminal};

/// More than a terminal can hold (64 KiB on their way and a page to be read), and so more than an ended step can have left in it.
/// FIONREAD does not count bytes that are on their way.
const TERMINAL_CAPACITY: usize = 128 * 1024;

/// All pipes and terminals that are open.
#[derive(Default)]
pub(crate) struct OutputPipes {
    pipes: Vec<OutputPipe>,
}

/// The reading end of one pipe, or our end of a terminal.
struct OutputPipe {
    step: u32,
    stream: Stream,
    kind: Kind,
    file: File,
    /// Bytes that were in the pipe when the step's first process ended, and that have not been read yet.
    pending: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pipe,
    Terminal,
}

impl OutputPipes {
    /// Begins to forward a step's streams.
    pub(crate) fn add(&mut self, step: u32, output: Output) {
        let mut add =
            |stream, kind, file| self.pipes.push(OutputPipe { step, stream, kind, file, pending: 0 });
        match output {
            Output::Pipes { stdout, stderr } => {
                add(Stream::Stdout, Kind::Pipe, stdout);
                add(Stream::Stderr, Kind::Pipe, stderr);
            }
            Output::Terminal(ours) => add(Stream::Stdout, Kind::Terminal, ours),
        }
    }

    /// The descriptors to poll.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.pipes.iter().map(|pipe| pipe.file.as_fd())
    }

    /// Marks the present content of a step's pipes as pending output of the step, which has just ended.
    ///
    /// Reading until the pipe is empty might never end: background processes may go on writing.
    pub(crate) fn mark_pending(&mut self, step: u32) -> Result<()> {
        for pipe in self.pipes.iter_mut().filter(|pipe| pipe.step == step) {
            if pipe.kind == Kind::Terminal {
                pipe.pending = TERMINAL_CAPACITY;
                continue;
            }
            let held = ioctl_fionread(&pipe.file).context("ask a step's pipe what it holds")?;
            pipe.pending = usize::try_from(held).unwrap_or(usize::MAX);
        }
        Ok(())
    }

    /// Whether output of the step has not been forwarded yet.
    pub(crate) fn has_pending(&self, step: u32) -> bool {
        self.pipes.iter().any(|pipe| pipe.step == step && pipe.pending > 0)
    }

    /// Forwards one piece of each pipe, as far as the port has room, and drops pipes without writers.
    pub(crate) fn forward(&mut self, port: &mut Port) -> Result<()> {
        let mut index = 0;
        while index < self.pipes.len() && port.has_room() {
            match self.pipes[index].forward(port)? {
                Writers::Some => index += 1,
                Writers::None => drop(self.pipes.remove(index)),
            }
        }
        // The next round starts after the last pipe of this one: a pipe that is always full cannot starve the others.
        self.pipes.rotate_left(index);
        Ok(())
    }
}

/// Whether a process holds the other end of a pipe.
#[derive(PartialEq, Eq)]
enum Writers {
    Some,
    None,
}

impl OutputPipe {
    fn forward(&mut self, port: &mut Port) -> Result<Writers> {
        let mut bytes = vec![0; MAX_DATA];
        match self.file.read(&mut bytes) {
            Ok(0) => Ok(Writers::None),
            Ok(count) => {
                bytes.truncate(count);
                let all_is_read = self.kind == Kind::Terminal && self.pending > 0 && self.pending <= count;
                self.pending = self.pending.saturating_sub(count);
                port.send(&FromGuest::Output { step: self.step, stream: self.stream, bytes })?;
                Ok(if all_is_read { Writers::None } else { Writers::Some })
            }
            // A hung-up terminal that is empty is complete; so is a terminal that no process has open.
            Err(error)
                if self.kind == Kind::Terminal
                    && (self.pending > 0 && error.kind() == ErrorKind::WouldBlock
                        || terminal::is_closed(&error)) =>
            {
                Ok(Writers::None)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                Ok(Writers::Some)
            }
            Err(error) => Err(error).context("read what a step wrote"),
        }
    }
}
