//! Waiting: for the agent, for the end of its machine, for a signal, for a deadline, whichever comes first.

use std::time::Duration;

use anyhow::{Context, Result};
use kiln_protocol::{FromGuest, Reads, ToGuest};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::relay::Relays;
use crate::{
    agent::Session,
    exit::{Code, Failure},
    runner::{Ended, Launched, Machine},
};

/// After the channel has closed, how long the machine may take to be seen to have ended.
const END_AFTER_CHANNEL: Duration = Duration::from_secs(5);
/// How long the agent may leave a request unread: it reads even while it cannot write.
const SAY_LIMIT: Duration = Duration::from_secs(30);

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
pub(super) enum Wake {
    /// The agent said something.
    Message(FromGuest),
    /// A part of the machine has ended.
    Ended(Ended),
    /// A signal asks for the end.
    Interrupted(Interrupt),
    /// The time is up.
    Deadline,
}

/// An agent and the machine it runs in.
pub(super) struct Conversation {
    session: Session,
    machine: Box<dyn Machine>,
    interrupts: Interrupts,
    relays: Relays,
    state: State,
}

/// Whether the engine has taken note of a signal: an orderly end must not be interrupted by the same signal again.
#[derive(PartialEq, Eq)]
enum State {
    Running,
    Interrupted,
}

impl Conversation {
    /// With an agent that relays these ports.
    pub(super) fn new(launched: Launched, interrupts: Interrupts, ports: Vec<u16>) -> Self {
        let Launched { reader, writer, machine } = launched;
        let (session, relays) = (Session::new(reader, writer), Relays::new(ports));
        Self { session, machine, interrupts, relays, state: State::Running }
    }

    /// Says one thing to the agent.
    pub(super) async fn say(&mut self, message: &ToGuest) -> Result<()> {
        timeout(SAY_LIMIT, self.session.say(message))
            .await
            .with_context(|| format!("the agent has read nothing for {} s", SAY_LIMIT.as_secs()))?
    }

    /// Waits for whatever comes first, and meanwhile passes on what is relayed. Messages come before an end, so that nothing
    /// is lost that was said. May be dropped while it waits.
    pub(super) async fn wake(&mut self, deadline: Option<Instant>) -> Result<Wake> {
        loop {
            let Self { session, machine, interrupts, relays, state } = self;
            let due = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let heard = tokio::select! {
                biased;
                signal = interrupts.next(), if *state == State::Running => {
                    *state = State::Interrupted;
                    return Ok(Wake::Interrupted(signal));
                }
                () = due => return Ok(Wake::Deadline),
                request = relays.next(), if session.has_room() => {
                    session.queue(&request)?;
                    continue;
                }
                heard = session.hear() => heard,
                ended = machine.ended() => return Ok(Wake::Ended(ended)),
            };
            match heard? {
                Some(message) => {
                    let (message, answer) = relays.take(message);
                    answer.iter().try_for_each(|answer| session.queue(answer))?;
                    if let Some(message) = message {
                        return Ok(Wake::Message(message));
                    }
                }
                None => return self.closed().await,
            }
        }
    }

    /// The channel is closed: the machine is ending, and how it ends says why.
    async fn closed(&mut self) -> Result<Wake> {
        let ended = timeout(END_AFTER_CHANNEL, self.machine.ended()).await;
        Ok(Wake::Ended(ended.unwrap_or_else(|_| Ended {
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
}
