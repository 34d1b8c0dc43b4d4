//! A request to the agent, and the wait for its answer.

use anyhow::Result;
use kiln_protocol::FromGuest;
use tokio::time::Instant;

use super::{
    agent_session::{AgentSession, SessionEvent},
    guest_failure,
};

/// How a message relates to the request that waits for its answer.
pub(super) enum Reply<T> {
    /// The answer.
    Answer(T),
    /// A message that may come before the answer.
    Other,
    /// A message that is not allowed here.
    Unexpected(FromGuest),
}

/// How long a request waits, and in which situation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait<'w> {
    /// `before it was ready`: for errors.
    pub(super) when: &'w str,
    /// The end of the wait.
    pub(super) deadline: Instant,
}

impl AgentSession {
    /// Waits for the answer to a request; `None` if the deadline passes before it comes.
    ///
    /// # Errors
    /// As [`Self::next`]; also for a message that is not allowed here, the end of a part of the machine, and a signal.
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
                    Reply::Unexpected(message) => {
                        return Err(guest_failure::unexpected(&message, when, self));
                    }
                },
                SessionEvent::Ended(ended) => return Err(guest_failure::died(&ended, when, self)),
                SessionEvent::Interrupted(signal) => return Err(signal.failure().into()),
                SessionEvent::Deadline => return Ok(None),
            }
        }
    }
}
