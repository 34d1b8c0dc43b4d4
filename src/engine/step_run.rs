//! One step while it runs, with a console at its other end or without.
//!
//! Input goes in while output comes out; neither waits for the other. The agent takes a window of input at a time, so that input
//! which a step does not read stays where it came from. Secrets are masked in all output.

use std::{future::pending, time::Duration};

use anyhow::Result;
use kiln_protocol::{Exhausted, ExitStatus, FromGuest, Step, Stream, ToGuest, frame::INPUT_WINDOW};
use tokio::time::Instant;

use super::{
    agent_session::{AgentSession, Interrupt, SessionEvent},
    clock, failure, guest_failure,
    interactive::{Console, ConsoleInput},
    output::Output,
};
use crate::event::{Event, Sink};

/// How long the agent may take to cancel a step.
const CANCEL_GRACE: Duration = Duration::from_secs(5);
/// Said at the first signal, since the end in order can take [`CANCEL_GRACE`].
const INTERRUPTED: &str = "interrupted: the step is being ended; a second signal ends the build at once";

/// All that a step needs to run.
pub(super) struct StepRun<'a> {
    pub(super) session: &'a mut AgentSession,
    /// Gets the output as events; with a console only that of processes that earlier steps have left.
    pub(super) sink: &'a mut dyn Sink,
    pub(super) output: &'a mut Output,
    pub(super) console: Option<&'a mut dyn Console>,
    /// For errors: `during step "make"`.
    pub(super) when: &'a str,
}

/// Why a step runs no longer. When it was ended before its time, the agent has been told to cancel it.
pub(super) enum StepStop {
    /// By itself, or at the agent's own time-out.
    Ended { status: ExitStatus, exhausted: Exhausted },
    /// The agent could not start it.
    Refused { why: String },
    /// A signal.
    Interrupted(Interrupt),
    /// The deadline.
    Deadline,
}

/// The first event of a wait.
enum Happened {
    Guest(SessionEvent),
    ConsoleInput(ConsoleInput),
    /// Output was held back for long enough.
    FlushDue,
}

impl StepRun<'_> {
    /// Runs the step to its end; says why and after how long it ended.
    ///
    /// # Errors
    /// For the end of the machine, a breach of the protocol, and a console that fails.
    pub(super) async fn run(
        &mut self,
        step: Step,
        deadline: Option<Instant>,
    ) -> Result<(StepStop, Duration)> {
        // The guest's own clock stands still while an emulated processor waits for the host's.
        let (index, started) = (step.index, Instant::now());
        if self.session.has_own_clock() {
            self.session.send(&ToGuest::Clock { realtime_ns: clock::wall_clock_ns()? })?;
        }
        self.session.send(&ToGuest::Run(step))?;
        if let Some(console) = &mut self.console {
            console.begin()?;
        }
        let stop = self.until_stop(index, deadline).await;
        let shown = self.leave_console(index);
        let stop = stop?;
        shown?;
        Ok((stop, started.elapsed()))
    }

    /// Shows the output that was held back while the terminal is still the step's own, and gives the terminal back.
    fn leave_console(&mut self, index: u32) -> Result<()> {
        if self.console.is_none() {
            return Ok(());
        }
        let shown = self.output.rest(self.sink, index).and_then(|rest| self.show(rest));
        if let Some(console) = &mut self.console {
            console.finish();
        }
        shown
    }

    async fn until_stop(&mut self, index: u32, deadline: Option<Instant>) -> Result<StepStop> {
        let mut window = INPUT_WINDOW;
        loop {
            match self.next(window, deadline).await? {
                Happened::FlushDue => self.flush(index)?,
                Happened::ConsoleInput(input) => {
                    let request = request(input);
                    if let ToGuest::Input { bytes } = &request {
                        window = window.saturating_sub(bytes.len());
                    }
                    self.session.send(&request)?;
                }
                Happened::Guest(SessionEvent::Message(message)) => match message {
                    FromGuest::Output { step, stream, bytes } => self.wrote(index, step, stream, &bytes)?,
                    // The end of a terminal's input is a byte of its own, and the agent may lie.
                    FromGuest::Consumed { step, bytes } if step == index && self.console.is_some() => {
                        window = window.saturating_add(bytes as usize).min(INPUT_WINDOW);
                    }
                    FromGuest::Ended { step, status, exhausted } if step == index => {
                        return Ok(StepStop::Ended { status, exhausted });
                    }
                    FromGuest::Refused { why, .. } => return Ok(StepStop::Refused { why }),
                    other => return Err(guest_failure::unexpected(&other, self.when, self.session)),
                },
                Happened::Guest(SessionEvent::Ended(ended)) => {
                    return Err(guest_failure::died(&ended, self.when, self.session));
                }
                Happened::Guest(SessionEvent::Interrupted(signal)) => {
                    if self.console.is_none() {
                        self.sink.emit(Event::Note { text: INTERRUPTED.into() });
                    }
                    self.cancel(index).await;
                    return Ok(StepStop::Interrupted(signal));
                }
                Happened::Guest(SessionEvent::Deadline) => {
                    self.cancel(index).await;
                    return Ok(StepStop::Deadline);
                }
            }
        }
    }

    async fn next(&mut self, window: usize, deadline: Option<Instant>) -> Result<Happened> {
        let Self { session, console, output, .. } = self;
        // Input for which the agent has no room is not taken from the console.
        let room = if session.has_room() { window } else { 0 };
        let input = async {
            match console {
                Some(console) => console.next(room).await,
                None => pending().await,
            }
        };
        Ok(tokio::select! {
            event = session.next(deadline) => Happened::Guest(event?),
            input = input => Happened::ConsoleInput(input?),
            () = output.flush_due() => Happened::FlushDue,
        })
    }

    /// Shows what the step wrote, without secrets.
    fn wrote(&mut self, index: u32, step: u32, stream: Stream, bytes: &[u8]) -> Result<()> {
        if step != index || self.console.is_none() {
            return self.output.push(self.sink, step, stream, bytes);
        }
        let shown = self.output.redacted(step, stream, bytes);
        self.show(vec![(stream, shown)])
    }

    fn flush(&mut self, index: u32) -> Result<()> {
        let shown_by_console = self.console.is_some().then_some(index);
        let pieces = self.output.flush(self.sink, shown_by_console)?;
        self.show(pieces)
    }

    fn show(&mut self, pieces: Vec<(Stream, Vec<u8>)>) -> Result<()> {
        let Some(console) = &mut self.console else { return Ok(()) };
        let mut pieces = pieces.into_iter().filter(|(_, shown)| !shown.is_empty());
        pieces.try_for_each(|(stream, shown)| console.show(stream, &shown))
    }

    /// Tells the agent to end the step, and shows the output that still comes. The machine is killed next: an agent that sends
    /// something else does not change why the step ends.
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

fn request(input: ConsoleInput) -> ToGuest {
    match input {
        ConsoleInput::Bytes(bytes) => ToGuest::Input { bytes },
        ConsoleInput::End => ToGuest::Input { bytes: Vec::new() },
        ConsoleInput::Size { rows, columns } => ToGuest::Resize { rows, columns },
    }
}

/// How a step ended to which a person gave the terminal, or an error.
pub(super) fn status_of_command(
    stop: StepStop,
    limit: Option<Duration>,
    session: &AgentSession,
) -> Result<ExitStatus> {
    match stop {
        StepStop::Ended { status, .. } => Ok(status),
        StepStop::Refused { why } => Err(guest_failure::refused(&why, session)),
        StepStop::Interrupted(signal) => Err(signal.failure().into()),
        StepStop::Deadline => Err(failure::timed_out(limit.unwrap_or_default())),
    }
}
