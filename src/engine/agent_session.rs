//! Waiting: for the agent, for the end of its machine, for a signal, for a deadline, whichever comes first.

use std::{path::Path, time::Duration};

use anyhow::Result;
use kiln_protocol::{FromGuest, MemoryEvents, RELAYED, Reads, ToGuest};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{failure, redact::Redactor, relay::Relays};
use crate::{
    agent::Session,
    backend::{Ended, Launched, Machine},
    exit::{Code, Failure},
};

/// After the channel has closed, how long the machine may take to be seen to have ended.
const END_AFTER_CHANNEL: Duration = Duration::from_secs(5);
/// A signal that asks for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM, SIGHUP.
    Terminate,
}

impl Interrupt {
    /// What it makes of the work that it ended, with its exit code.
    pub fn failure(self) -> Failure {
        match self {
            Self::Interrupt => Failure::new(Code::Interrupted, "interrupted", ""),
            Self::Terminate => Failure::new(Code::Terminated, "terminated", ""),
        }
    }
}

/// Where signals arrive.
#[derive(Debug, Clone)]
pub struct Interrupts(watch::Receiver<Option<Interrupt>>);

impl Interrupts {
    /// Signals as they come in over a channel whose first value is `None`.
    pub fn new(receiver: watch::Receiver<Option<Interrupt>>) -> Self {
        Self(receiver)
    }

    /// Resolves at the first signal, to the error that it makes of work which has no order to end in.
    pub async fn refuse(&mut self) -> anyhow::Error {
        self.next().await.failure().into()
    }

    /// Resolves at the first signal; never, when there will be none.
    async fn next(&mut self) -> Interrupt {
        match self.0.wait_for(Option::is_some).await.ok().and_then(|value| *value) {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

/// What happened first.
#[derive(Debug)]
pub(super) enum SessionEvent {
    /// The agent said something.
    Message(FromGuest),
    /// A part of the machine has ended.
    Ended(Ended),
    /// A signal asks for the end.
    Interrupted(Interrupt),
    /// The time is up.
    Deadline,
}

/// What a message is to the request that waits for its answer.
pub(super) enum Reply<T> {
    /// The answer.
    Answer(T),
    /// A message that may come before the answer.
    Other,
    /// A message that has no place here.
    Unexpected(FromGuest),
}

/// How long a request waits, and what for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait<'w> {
    /// `while it was asked what the build has read`: for errors.
    pub(super) when: &'w str,
    /// The end of the wait.
    pub(super) deadline: Instant,
}

/// An agent and the machine it runs in.
pub(super) struct AgentSession {
    session: Session,
    machine: Box<dyn Machine>,
    interrupts: Interrupts,
    relays: Relays,
    state: State,
    redactor: Redactor,
    /// Connections that were refused since the agent had last read all that was said.
    refused: usize,
}

/// Whether the engine has taken note of a signal: an orderly end must not be interrupted by the same signal again.
#[derive(PartialEq, Eq)]
enum State {
    Running,
    Interrupted,
}

impl AgentSession {
    /// With an agent that relays these ports, and whose words are masked.
    pub(super) fn new(
        launched: Launched,
        interrupts: Interrupts,
        ports: Vec<u16>,
        redactor: Redactor,
    ) -> Self {
        let Launched { reader, writer, machine } = launched;
        let (session, relays) = (Session::new(reader, writer), Relays::new(ports));
        Self { session, machine, interrupts, relays, state: State::Running, redactor, refused: 0 }
    }

    /// Says one thing to the agent, which is sent while one waits.
    pub(super) fn send(&mut self, message: &ToGuest) -> Result<()> {
        self.session.queue(message)
    }

    /// Whether more may be said now that can wait.
    pub(super) fn has_room(&self) -> bool {
        self.session.has_room()
    }

    /// Waits for whatever comes first, and meanwhile passes on what is relayed. Messages come before an end, so that nothing
    /// is lost that was said. May be dropped while it waits.
    ///
    /// # Errors
    /// A time-out where the agent reads nothing, a host failure where it does not keep to the protocol.
    pub(super) async fn next(&mut self, deadline: Option<Instant>) -> Result<SessionEvent> {
        loop {
            let Self { session, machine, interrupts, relays, state, .. } = self;
            let received = tokio::select! {
                biased;
                signal = interrupts.next(), if *state == State::Running => {
                    *state = State::Interrupted;
                    return Ok(SessionEvent::Interrupted(signal));
                }
                () = at(deadline) => return Ok(SessionEvent::Deadline),
                request = relays.next(), if session.has_room() => {
                    session.queue(&request)?;
                    continue;
                }
                received = session.recv() => received,
                ended = machine.ended() => return Ok(SessionEvent::Ended(ended)),
            };
            match received.map_err(failure::session_failed)? {
                Some(message) => {
                    let (message, answer) = relays.take(message);
                    if let Some(answer) = answer {
                        self.refuse(&answer)?;
                    }
                    if let Some(message) = message {
                        return Ok(SessionEvent::Message(message));
                    }
                }
                None => return self.closed().await,
            }
        }
    }

    /// Waits for the answer to a request; `None` if the deadline passes before it comes.
    ///
    /// # Errors
    /// As [`Self::next`]; also for a message that has no place here, the end of a part of the machine, and a signal.
    pub(super) async fn expect<T>(
        &mut self,
        Wait { when, deadline }: Wait<'_>,
        mut read: impl FnMut(FromGuest) -> Reply<T>,
    ) -> Result<Option<T>> {
        loop {
            match self.next(Some(deadline)).await? {
                SessionEvent::Message(message) => match read(message) {
                    Reply::Answer(answer) => return Ok(Some(answer)),
                    Reply::Other => {}
                    Reply::Unexpected(message) => return Err(failure::unexpected(&message, when, self)),
                },
                SessionEvent::Ended(ended) => return Err(failure::died(&ended, when, self)),
                SessionEvent::Interrupted(signal) => return Err(signal.failure().into()),
                SessionEvent::Deadline => return Ok(None),
            }
        }
    }

    /// Answers what breaks a connection. An agent names no more of them than it has, and learns of each that it is broken: more
    /// such answers never wait.
    fn refuse(&mut self, answer: &ToGuest) -> Result<()> {
        self.refused = if self.session.is_idle() { 1 } else { self.refused + 1 };
        if self.refused > RELAYED {
            return Err(failure::broken(
                "the agent opens connections and does not read that they are refused",
            ));
        }
        self.session.queue(answer)
    }

    /// The channel is closed: the machine is ending, and how it ends says why.
    async fn closed(&mut self) -> Result<SessionEvent> {
        let ended = timeout(END_AFTER_CHANNEL, self.machine.ended()).await;
        Ok(SessionEvent::Ended(ended.unwrap_or_else(|_| Ended {
            part: "the agent".into(),
            how: "closed its channel while its machine went on".into(),
            orderly: false,
            last_words: self.machine.last_words(),
            way_out: None,
        })))
    }

    /// As [`Machine::listen`].
    pub(super) async fn listen(&mut self) {
        self.machine.listen().await;
    }

    /// As [`Machine::reads`]; a signal ends the wait.
    pub(super) async fn reads(&mut self) -> Result<Option<Reads>> {
        let Self { machine, interrupts, state, .. } = self;
        tokio::select! {
            biased;
            signal = interrupts.next(), if *state == State::Running => {
                *state = State::Interrupted;
                Err(signal.failure().into())
            }
            reads = machine.reads() => Ok(reads),
        }
    }

    /// As [`Machine::memory`].
    pub(super) fn memory(&self) -> Option<MemoryEvents> {
        self.machine.memory()
    }

    /// As [`Machine::scratch`].
    pub(super) fn scratch(&self) -> Option<&Path> {
        self.machine.scratch()
    }

    /// As [`Machine::gone`].
    pub(super) async fn gone(&mut self) {
        self.machine.gone().await;
    }

    pub(super) fn kill(&mut self) {
        self.machine.kill();
    }

    pub(super) fn last_words(&self) -> Vec<String> {
        self.machine.last_words()
    }

    /// What a guest said, in an error: without secrets and without what would move a cursor.
    pub(super) fn quoted(&self, text: &str) -> String {
        failure::printable(&self.redactor.whole(text))
    }
}

/// Resolves at this time; never, where there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
