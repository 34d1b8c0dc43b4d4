//! The host's end of an interactive step's stdin and stdout: a terminal or a pipe.

use anyhow::Result;
use kiln_protocol::{Stdin, Stream};

use crate::backend::BoxFuture;

/// The host's end of a step's stdin and stdout.
pub trait Console {
    /// The stdin of the step.
    fn stdin(&self) -> Stdin;
    /// The step starts: from now on a terminal passes on every key.
    ///
    /// # Errors
    /// When the terminal's mode cannot be changed.
    fn begin(&mut self) -> Result<()>;
    /// The step has ended: restores the terminal's mode, as dropping the console does.
    fn finish(&mut self);
    /// The next input, at most `limit` bytes; only [`ConsoleInput::Size`] if `limit` is 0. May be dropped while it waits: nothing
    /// is lost.
    fn next(&mut self, limit: usize) -> BoxFuture<'_, Result<ConsoleInput>>;
    /// Shows output of the step.
    ///
    /// # Errors
    /// [`ReaderGone`] when its reader is gone.
    fn show(&mut self, stream: Stream, bytes: &[u8]) -> Result<()>;
}

/// Input from a console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsoleInput {
    /// Bytes.
    Bytes(Vec<u8>),
    /// The end of the bytes.
    End,
    /// The terminal's new size.
    Size {
        /// Lines.
        rows: u16,
        /// Characters in each.
        columns: u16,
    },
}

/// The reader of a step's output is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderGone;

impl std::fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the reader of the output is gone")
    }
}

impl std::error::Error for ReaderGone {}
