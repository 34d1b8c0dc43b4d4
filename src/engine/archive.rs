//! Archives from the agent, piece by piece, with a time limit.

use std::time::Duration;

use anyhow::Result;
use kiln_protocol::{FromGuest, frame::MAX_DATA};
use tokio::time::Instant;

use super::{
    agent_session::AgentSession,
    failure,
    request::{Reply, Wait},
};

/// How long the agent may take for [`MAX_DATA`] bytes of an archive: meanwhile it lists directories and reads small files, over a
/// share and without KVM. A slow archive uses this time up as an absent one does.
const PATIENCE: Duration = Duration::from_secs(120);

/// An archive that leaves the guest.
pub(super) struct Archive {
    what: &'static str,
    /// The time that is left without a byte.
    left: Duration,
    /// The build's own time-out, if it has one.
    deadline: Option<(Instant, Duration)>,
}

impl Archive {
    /// An archive before its first piece.
    pub(super) fn new(what: &'static str, timeout: Option<Duration>) -> Self {
        let deadline = timeout.map(|limit| (Instant::now() + limit, limit));
        Self { what, left: PATIENCE, deadline }
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// A time-out, a signal, the end of the machine, or an unexpected message.
    pub(super) async fn next(&mut self, session: &mut AgentSession) -> Result<Option<Vec<u8>>> {
        let started = Instant::now();
        let patience = started + self.left;
        let deadline = self.deadline.map_or(patience, |(at, _)| at.min(patience));
        let when = format!("while {} left the guest", self.what);
        let piece = session.expect(Wait { when: &when, deadline }, |message| match message {
            FromGuest::Data(bytes) => Reply::Answer(Some(bytes)),
            FromGuest::Exported { .. } => Reply::Answer(None),
            // A process that a step left running may still write; its output is no longer shown.
            FromGuest::Output { .. } => Reply::Other,
            other => Reply::Unexpected(other),
        });
        match piece.await? {
            Some(piece) => {
                self.received(piece.as_ref().map_or(0, Vec::len), started.elapsed());
                Ok(piece)
            }
            None if deadline < patience => {
                Err(failure::too_late(self.what, self.deadline.map(|(_, limit)| limit)))
            }
            None => Err(failure::slow(self.what, PATIENCE)),
        }
    }

    fn received(&mut self, bytes: usize, after: Duration) {
        let earned = PATIENCE.mul_f64(bytes as f64 / MAX_DATA as f64);
        self.left = (self.left.saturating_sub(after) + earned).min(PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_archive_uses_its_time_up() {
        let mut archive = Archive::new("x", None);
        archive.received(MAX_DATA, PATIENCE / 2);
        assert_eq!(archive.left, PATIENCE);
        for _ in 0..10 {
            archive.received(1, PATIENCE / 12);
            archive.received(0, PATIENCE / 60);
        }
        assert!(archive.left < PATIENCE / 100, "{:?}", archive.left);
    }
}
