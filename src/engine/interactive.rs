//! What an interactive step has at the host's end of its stdin and stdout: a person at a terminal, or a pipe.

use anyhow::Result;
use kiln_protocol::{Stdin, Stream};

use crate::backend::BoxFuture;

/// What stands at the host's end of a step's stdin and stdout.
pub trait Console {
    /// What the step shall read.
    fn stdin(&self) -> Stdin;
    /// The step starts: a terminal passes on every key from now on.
    ///
    /// # Errors
    /// When the terminal does not do so.
    fn begin(&mut self) -> Result<()>;
    /// The step has ended: the terminal is as it was. Dropping the console does the same.
    fn finish(&mut self);
    /// The next thing that comes, at most `limit` bytes of it; only [`ConsoleInput::Size`] when that is 0. May be dropped
    /// while it waits: nothing is lost.
    fn next(&mut self, limit: usize) -> BoxFuture<'_, Result<ConsoleInput>>;
    /// Shows what the step wrote.
    ///
    /// # Errors
    /// [`ReaderGone`] when nobody will ever see it.
    fn show(&mut self, stream: Stream, bytes: &[u8]) -> Result<()>;
}

/// What comes from a console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsoleInput {
    /// Bytes.
    Bytes(Vec<u8>),
    /// No more of them.
    End,
    /// The terminal has another size.
    Size {
        /// Lines.
        rows: u16,
        /// Characters in each.
        columns: u16,
    },
}

/// Nobody reads what a step writes any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderGone;

impl std::fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nobody reads the output any more")
    }
}

impl std::error::Error for ReaderGone {}
