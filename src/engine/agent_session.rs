//! The session with an agent: waits for a message, the end of the machine, a signal or a deadline, whichever comes first.

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

/// How long the machine may take to end after the channel has closed.
const END_AFTER_CHANNEL: Duration = Duration::from_secs(5);

/// A signal that ends the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM, SIGHUP.
    Terminate,
}

impl Interrupt {
    /// The failure of the work that it ended, with its exit code.
    pub fn failure(self) -> Failure {
        match self {
            Self::Interrupt => Failure::new(Code::Interrupted, "interrupted", ""),
            Self::Terminate => Failure::new(Code::Terminated, "terminated", ""),
        }
    }
}

/// The source of signals.
#[derive(Debug, Clone)]
pub struct Interrupts(watch::Receiver<Option<Interrupt>>);

impl Interrupts {
    /// Signals from a channel whose first value is `None`.
    pub fn new(receiver: watch::Receiver<Option<Interrupt>>) -> Self {
        Self(receiver)
    }

    /// Resolves at the first signal, to its failure: for work that may stop at any point.
    pub async fn refuse(&mut self) -> anyhow::Error {
        self.next().await.failure().into()
    }

    /// Resolves at the first signal.
    async fn next(&mut self) -> Interrupt {
        match self.0.wait_for(Option::is_some).await.ok().and_then(|value| *value) {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

/// The first event of a session.
#[derive(Debug)]
pub(super) enum SessionEvent {
    /// A message of the agent.
    Message(FromGuest),
    /// A part of the machine has ended.
    Ended(Ended),
    /// A signal has come.
    Interrupted(Interrupt),
    /// The deadline has passed.
    Deadline,
}

/// An agent and its machine.
pub(super) struct AgentSession {
    session: Session,
    machine: Box<dyn Machine>,
    interrupts: Interrupts,
    relays: Relays,
    state: State,
    own_clock: bool,
    redactor: Redactor,
    /// Connections that were refused since the agent has last read everything.
    refused: usize,
}

/// Whether a signal has come: the same signal must not interrupt the orderly end again.
#[derive(PartialEq, Eq)]
enum State {
    Running,
    Interrupted,
}

impl AgentSession {
    /// A session with an agent that relays these ports. Whether its clock is not the host's is `own_clock`. Texts of its messages are redacted.
    pub(super) fn new(
        launched: Launched,
        interrupts: Interrupts,
        ports: Vec<u16>,
        own_clock: bool,
        redactor: Redactor,
    ) -> Self {
        let Launched { reader, writer, machine } = launched;
        let (session, relays) = (Session::new(reader, writer), Relays::new(ports));
        let state = State::Running;
        Self { session, machine, interrupts, relays, state, own_clock, redactor, refused: 0 }
    }

    /// Whether the guest has a clock that the host sets.
    pub(super) fn has_own_clock(&self) -> bool {
        self.own_clock
    }

    /// Queues a message to the agent; it is sent during [`Self::next`].
    pub(super) fn send(&mut self, message: &ToGuest) -> Result<()> {
        self.session.queue(message)
    }

    /// Whether messages that can wait may be queued now.
    pub(super) fn has_room(&self) -> bool {
        self.session.has_room()
    }

    /// Waits for the first event, and meanwhile relays connections. Messages come before an end, so that none is lost. May be
    /// dropped while it waits.
    ///
    /// # Errors
    /// A time-out if the agent reads nothing, a host failure if it breaks the protocol.
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

    /// Refuses a connection. An agent has a limited number of connections and reads each refusal, so that more never wait in the
    /// queue.
    fn refuse(&mut self, answer: &ToGuest) -> Result<()> {
        self.refused = if self.session.is_idle() { 1 } else { self.refused + 1 };
        if self.refused > RELAYED {
            return Err(failure::broken("the agent opens connections and does not read the refusals"));
        }
        self.session.queue(answer)
    }

    /// The channel is closed, so the machine is ending: its end says why.
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

    /// A text of the guest for an error: without secrets and control characters.
    pub(super) fn quoted(&self, text: &str) -> String {
        failure::printable(&self.redactor.whole(text))
    }
}

/// Resolves at this time; never, if there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
