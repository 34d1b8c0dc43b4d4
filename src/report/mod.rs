//! The only module that prints: events in, text out, for a person ([`Progress::Tty`], [`Progress::Plain`]), a program
//! ([`Progress::Json`]) or later ([`Logs`]).
//!
//! ```text
//! Event --build_state (what it means)--> Message --plain or tty (how it looks)--> stderr
//!       --json--> stdout
//!       --logs--> <KILN_HOME>/logs/…
//! ```
//!
//! Text from a guest is never trusted: `sanitize` takes away sequences that move the cursor or control the terminal. A closed pipe
//! does not end a build. Nothing here decides anything about a build.

mod build_state;
mod direct;
mod display;
mod fetches;
mod format;
mod json;
mod lines;
mod logs;
mod plain;
mod sanitize;
mod summary;
mod terminal;
#[cfg(test)]
mod tests;
mod tty;

use std::{
    io::{IsTerminal, Write, stderr, stdout},
    time::{Duration, Instant},
};

use clap::ValueEnum;

pub use direct::{data, error, name, one_line, print, to_stderr};
pub use format::{age, size};
pub use json::SCHEMA as EVENTS_SCHEMA;
pub use logs::{Logs, console_log};
pub use terminal::Terminal;

use self::display::Display;
use crate::event::{Event, Sink};

/// How progress is shown: `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Progress {
    /// A live display on a terminal, plain lines elsewhere.
    #[default]
    Auto,
    /// A live display.
    Tty,
    /// As [`Self::Auto`], for work that may be over at once: nothing is drawn in the first moments.
    #[value(skip)]
    Wait,
    /// A line for each event.
    Plain,
    /// One JSON object a line on stdout.
    Json,
    /// Errors and the result.
    Quiet,
}

/// The streams and the clock of a reporter.
pub struct OutputStreams {
    /// Data: events as JSON.
    pub stdout: Box<dyn Write + Send>,
    /// For people.
    pub stderr: Box<dyn Write + Send>,
    /// The terminal at stderr, if it is one.
    pub terminal: Option<Terminal>,
    /// The time since the start of the command.
    pub clock: Clock,
}

/// Says how long the command has been running.
pub type Clock = Box<dyn Fn() -> Duration + Send>;

impl OutputStreams {
    /// Those of this process; its time starts now.
    pub fn of_process() -> Self {
        let start = Instant::now();
        Self {
            stdout: Box::new(stdout()),
            stderr: Box::new(stderr()),
            terminal: stderr().is_terminal().then(Terminal::of_process),
            clock: Box::new(move || start.elapsed()),
        }
    }
}

/// Prints events as they come.
pub struct Reporter {
    display: Box<dyn Display + Send>,
    clock: Clock,
}

impl Reporter {
    /// Shows nothing yet.
    pub fn new(progress: Progress, streams: OutputStreams) -> Self {
        let OutputStreams { stdout, stderr, terminal, clock } = streams;
        let live = match progress {
            Progress::Auto | Progress::Wait => terminal.filter(|terminal| terminal.can_move),
            // If it is asked for by name, only a terminal that cannot move its cursor does without.
            Progress::Tty => {
                Some(terminal.unwrap_or_else(Terminal::unknown)).filter(|terminal| terminal.can_move)
            }
            Progress::Plain | Progress::Json | Progress::Quiet => None,
        };
        let display: Box<dyn Display + Send> = match (progress, live) {
            (Progress::Json, _) => Box::new(json::Json::new(stdout)),
            (Progress::Quiet, _) => Box::new(plain::Plain::new(stderr, plain::Volume::Result)),
            (Progress::Wait, Some(terminal)) => Box::new(tty::Tty::new(stderr, terminal, tty::PATIENCE)),
            (_, Some(terminal)) => Box::new(tty::Tty::new(stderr, terminal, Duration::ZERO)),
            (_, None) => Box::new(plain::Plain::new(stderr, plain::Volume::All)),
        };
        Self { display, clock }
    }

    /// The time since the start, so that an event has the same time for each of its receivers.
    pub fn now(&self) -> Duration {
        (self.clock)()
    }

    /// Shows an event that happened at this time.
    pub fn emit_at(&mut self, event: Event, at: Duration) {
        self.display.show(event, at);
    }

    /// Redraws the live display; to be called about ten times a second while a build runs.
    pub fn tick(&mut self) {
        self.display.tick((self.clock)());
    }

    /// Removes the live display, for commands that end without an event.
    pub fn end(&mut self) {
        self.display.end((self.clock)());
    }
}

impl Sink for Reporter {
    fn emit(&mut self, event: Event) {
        self.emit_at(event, self.now());
    }
}

/// Two sinks as one.
#[derive(Debug)]
pub struct Tee<A, B>(pub A, pub B);

impl<A: Sink, B: Sink> Sink for Tee<A, B> {
    fn emit(&mut self, event: Event) {
        self.0.emit(event.clone());
        self.1.emit(event);
    }
}
