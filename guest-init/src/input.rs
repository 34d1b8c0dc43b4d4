//! The input of a step on its way from the host: kept until the step reads it, and never more than a window.
//!
//! Nothing here blocks. A step that does not read, or has closed its stdin, costs the memory of the window only.

use std::{
    collections::VecDeque,
    fs::File,
    io::{ErrorKind, Write},
    os::fd::{AsFd, BorrowedFd},
};

use anyhow::{Result, ensure};
use kiln_protocol::frame::INPUT_WINDOW;

use crate::terminal;

/// The agent's end of a step's stdin.
pub(crate) enum Source {
    /// A pipe's writing end; non-blocking.
    Pipe(File),
    /// Our end of the step's terminal; non-blocking.
    Terminal(File),
}

impl Source {
    fn file(&self) -> &File {
        let (Self::Pipe(file) | Self::Terminal(file)) = self;
        file
    }
}

/// The input of the running step.
pub(crate) struct Input {
    /// `None` when the step reads no more or the host has no more.
    source: Option<Source>,
    queue: VecDeque<u8>,
    state: State,
}

/// Whether the host has said that there is no more.
#[derive(PartialEq, Eq)]
enum State {
    Open,
    Ending,
}

impl Input {
    /// Of a step; `None` for one that reads `/dev/null`.
    pub(crate) fn new(source: Option<Source>) -> Self {
        Self { source, queue: VecDeque::new(), state: State::Open }
    }

    /// Takes bytes from the host; none mean the end.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<()> {
        ensure!(self.queue.len() + bytes.len() <= INPUT_WINDOW, "more input came than its window takes");
        match &self.source {
            Some(Source::Terminal(_)) if bytes.is_empty() => self.queue.push_back(terminal::END_OF_FILE),
            Some(_) if bytes.is_empty() => self.state = State::Ending,
            Some(_) | None => self.queue.extend(bytes),
        }
        Ok(())
    }

    /// Writes as much as the step takes now. Returns how many bytes have left the queue.
    pub(crate) fn feed(&mut self) -> usize {
        let before = self.queue.len();
        while let (Some(source), false) = (&self.source, self.queue.is_empty()) {
            match source.file().write(self.queue.as_slices().0) {
                Ok(count) => drop(self.queue.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It will never be read: EPIPE of a pipe, EIO of a terminal.
                Err(_) => self.source = None,
            }
        }
        if self.source.is_none() {
            self.queue.clear();
        }
        if self.queue.is_empty() && self.state == State::Ending {
            self.source = None;
        }
        before - self.queue.len()
    }

    /// The descriptor to poll before [`Self::feed`], if bytes are queued.
    pub(crate) fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        self.source.as_ref().filter(|_| !self.queue.is_empty()).map(|source| source.file().as_fd())
    }

    /// Sets the size of the terminal; nothing for a pipe.
    pub(crate) fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        match &self.source {
            Some(Source::Terminal(ours)) => terminal::resize(ours, rows, columns),
            Some(Source::Pipe(_)) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, os::fd::OwnedFd};

    use super::*;

    #[test]
    fn a_window_is_kept_and_more_is_refused() {
        let (_reader, writer) = io::pipe().expect("a pipe");
        let writer = File::from(OwnedFd::from(writer));
        let mut input = Input::new(Some(Source::Pipe(writer)));
        input.take(&vec![0; INPUT_WINDOW]).expect("a window fits");
        assert!(input.waits_for().is_some());
        let error = input.take(&[0]).expect_err("it is full");
        assert_eq!(error.to_string(), "more input came than its window takes");
    }

    #[test]
    fn input_without_a_reader_is_dropped() {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        for source in [Some(Source::Pipe(File::from(OwnedFd::from(writer)))), None] {
            let mut input = Input::new(source);
            input.take(b"abc").expect("it fits");
            assert_eq!((input.feed(), input.waits_for().is_none()), (3, true));
        }
    }
}
