//! A step with somebody at the other end: a person at a terminal, or a pipe.
//!
//! What is typed goes in while what is written comes out; neither waits for the other. The agent takes a window of input
//! at a time, so that what a step does not read stays where it came from. Secrets are masked here as in every output.

use std::time::Duration;

use anyhow::Result;
use kiln_protocol::{ExitStatus, FromGuest, Stdin, Step, Stream, ToGuest, frame::INPUT_WINDOW};
use tokio::time::Instant;

use super::{
    CANCEL_GRACE,
    agent_session::{AgentSession, SessionEvent},
    failure,
    output::Output,
};
use crate::{backend::BoxFuture, event::Sink};

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

/// What the two ends of a conversation are.
pub(super) struct InteractiveStep<'a> {
    pub(super) session: &'a mut AgentSession,
    pub(super) console: &'a mut dyn Console,
    /// Where that goes which earlier steps have left running still write.
    pub(super) sink: &'a mut dyn Sink,
    pub(super) output: &'a mut Output,
}

enum Happened {
    Guest(SessionEvent),
    ConsoleInput(ConsoleInput),
    /// For a moment.
    Nothing,
}

impl InteractiveStep<'_> {
    /// Runs the step to its end.
    pub(super) async fn run(
        &mut self,
        step: Step,
        deadline: Option<(Instant, Duration)>,
    ) -> Result<(ExitStatus, Duration)> {
        let (index, started) = (step.index, Instant::now());
        self.session.send(&ToGuest::Run(step))?;
        self.console.begin()?;
        let ended = self.converse(index, deadline).await;
        // What was held back belongs to the step: it is shown while its terminal is still its own.
        let shown = self.output.rest(self.sink, index).and_then(|rest| self.show(rest));
        self.console.finish();
        let status = ended?;
        shown?;
        Ok((status, started.elapsed()))
    }

    /// Shows what the step wrote, without secrets; what earlier steps have left running still writes is an event.
    fn wrote(&mut self, index: u32, step: u32, stream: Stream, bytes: &[u8]) -> Result<()> {
        if step != index {
            return self.output.push(self.sink, step, stream, bytes);
        }
        let shown = self.output.masked(step, stream, bytes);
        if shown.is_empty() { Ok(()) } else { self.console.show(stream, &shown) }
    }

    fn show(&mut self, pieces: Vec<(Stream, Vec<u8>)>) -> Result<()> {
        pieces.into_iter().try_for_each(|(stream, shown)| self.console.show(stream, &shown))
    }

    async fn converse(&mut self, index: u32, deadline: Option<(Instant, Duration)>) -> Result<ExitStatus> {
        let mut window = INPUT_WINDOW;
        loop {
            // The window is the agent's word; what it does not read is not taken from the person.
            let room = if self.session.has_room() { window } else { 0 };
            let happened = tokio::select! {
                wake = self.session.next(deadline.map(|(at, _)| at)) => Happened::Guest(wake?),
                typed = self.console.next(room) => Happened::ConsoleInput(typed?),
                () = self.output.moment() => Happened::Nothing,
            };
            match happened {
                Happened::Nothing => {
                    let pieces = self.output.pause(self.sink, Some(index))?;
                    self.show(pieces)?;
                }
                Happened::ConsoleInput(typed) => {
                    let request = request(typed);
                    if let ToGuest::Input { bytes } = &request {
                        window = window.saturating_sub(bytes.len());
                    }
                    self.session.send(&request)?;
                }
                Happened::Guest(SessionEvent::Message(FromGuest::Output { step, stream, bytes })) => {
                    self.wrote(index, step, stream, &bytes)?;
                }
                // The end of a terminal's input is a byte of its own, and the agent may lie.
                Happened::Guest(SessionEvent::Message(FromGuest::Consumed { step, bytes }))
                    if step == index =>
                {
                    window = window.saturating_add(bytes as usize).min(INPUT_WINDOW);
                }
                Happened::Guest(SessionEvent::Message(FromGuest::Ended { step, status, .. }))
                    if step == index =>
                {
                    return Ok(status);
                }
                Happened::Guest(other) => return Err(self.mishap(index, other, deadline).await?),
            }
        }
    }

    async fn mishap(
        &mut self,
        index: u32,
        wake: SessionEvent,
        deadline: Option<(Instant, Duration)>,
    ) -> Result<anyhow::Error> {
        Ok(match wake {
            SessionEvent::Message(FromGuest::Refused { why, .. }) => failure::refused(&why, self.session),
            SessionEvent::Message(other) => failure::unexpected(&other, "while a command ran", self.session),
            SessionEvent::Ended(ended) => failure::died(&ended, "while a command ran", self.session),
            SessionEvent::Interrupted(signal) => {
                self.cancel(index).await;
                signal.failure().into()
            }
            SessionEvent::Deadline => {
                self.cancel(index).await;
                failure::timed_out(deadline.map(|(_, limit)| limit).unwrap_or_default())
            }
        })
    }

    /// Tells the agent to end it all, and shows what it still wrote; the machine is killed next, whatever else comes.
    async fn cancel(&mut self, index: u32) {
        let deadline = Some(Instant::now() + CANCEL_GRACE);
        if self.session.send(&ToGuest::Cancel).is_err() {
            return;
        }
        while let Ok(SessionEvent::Message(message)) = self.session.next(deadline).await {
            match message {
                FromGuest::Output { step, stream, bytes }
                    if self.wrote(index, step, stream, &bytes).is_ok() => {}
                FromGuest::Consumed { .. } => {}
                _ => return,
            }
        }
    }
}

fn request(typed: ConsoleInput) -> ToGuest {
    match typed {
        ConsoleInput::Bytes(bytes) => ToGuest::Input { bytes },
        ConsoleInput::End => ToGuest::Input { bytes: Vec::new() },
        ConsoleInput::Size { rows, columns } => ToGuest::Resize { rows, columns },
    }
}
