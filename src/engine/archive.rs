//! The archives that the agent sends, piece by piece, and how long each piece may take.

use std::time::Duration;

use anyhow::Result;
use kiln_protocol::{FromGuest, frame::MAX_DATA};
use tokio::time::Instant;

use super::{
    agent_session::{AgentSession, SessionEvent},
    failure,
};

/// How long the agent may take for [`MAX_DATA`] bytes of an archive: it lists directories and reads small files meanwhile, over a
/// share and without KVM. An archive that trickles costs as much of it as one that does not come.
const PATIENCE: Duration = Duration::from_secs(120);

/// An archive on its way out of the guest.
pub(super) struct Archive {
    what: &'static str,
    /// How long nothing may come.
    left: Duration,
    /// The build's own time-out, if it has one.
    deadline: Option<(Instant, Duration)>,
}

impl Archive {
    /// Of which nothing has come yet.
    pub(super) fn new(what: &'static str, timeout: Option<Duration>) -> Self {
        let deadline = timeout.map(|limit| (Instant::now() + limit, limit));
        Self { what, left: PATIENCE, deadline }
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// A time-out, a signal, the end of the machine, or what has no place in an archive.
    pub(super) async fn next(&mut self, session: &mut AgentSession) -> Result<Option<Vec<u8>>> {
        let started = Instant::now();
        let patience = started + self.left;
        let deadline = self.deadline.map_or(patience, |(at, _)| at.min(patience));
        let when = format!("while {} left the guest", self.what);
        loop {
            match session.next(Some(deadline)).await? {
                SessionEvent::Message(FromGuest::Data(bytes)) => {
                    self.came(bytes.len(), started.elapsed());
                    return Ok(Some(bytes));
                }
                SessionEvent::Message(FromGuest::Exported { .. }) => return Ok(None),
                // What a step left running may still write; nobody waits for it any more.
                SessionEvent::Message(FromGuest::Output { .. }) => {}
                SessionEvent::Message(other) => return Err(failure::unexpected(&other, &when, session)),
                SessionEvent::Ended(ended) => return Err(failure::died(&ended, &when, session)),
                SessionEvent::Interrupted(signal) => return Err(signal.failure().into()),
                SessionEvent::Deadline if deadline < patience => {
                    return Err(failure::too_late(self.what, self.deadline.map(|(_, limit)| limit)));
                }
                SessionEvent::Deadline => return Err(failure::slow(self.what, PATIENCE)),
            }
        }
    }

    fn came(&mut self, bytes: usize, after: Duration) {
        let earned = PATIENCE.mul_f64(bytes as f64 / MAX_DATA as f64);
        self.left = (self.left.saturating_sub(after) + earned).min(PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_that_trickles_uses_its_time_up() {
        let mut archive = Archive::new("x", None);
        archive.came(MAX_DATA, PATIENCE / 2);
        assert_eq!(archive.left, PATIENCE);
        for _ in 0..10 {
            archive.came(1, PATIENCE / 12);
            archive.came(0, PATIENCE / 60);
        }
        assert!(archive.left < PATIENCE / 100, "{:?}", archive.left);
    }
}
