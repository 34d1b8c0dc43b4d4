//! What the build wrote into the cache and what will be thrown away: the agent lists it, so that it can be said.

use std::time::Duration;

use anyhow::{Context, Result};
use kiln_protocol::ToGuest;
use tokio::{sync::mpsc, time::timeout};

use super::{ARCHIVE_PIECES, agent_session::AgentSession, build::Build, failure, output};
use crate::cache::{self, Discarded, Writes};

/// How long it may take: it is worth less than what it says. A hundred thousand files, without KVM.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether the build has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Steps {
    Succeeded,
    Failed,
}

impl Build<'_, '_> {
    /// Counts what will be thrown away, where that is something and it takes not too long.
    pub(super) async fn count_discarded(&mut self, session: &mut AgentSession, steps: Steps) -> Result<()> {
        let Some(cache) = &self.engine.plan.cache else { return Ok(()) };
        let is_discarded = cache.discards(steps == Steps::Succeeded);
        let Some(target) = self.engine.plan.cache_overlay().filter(|_| is_discarded).map(str::to_owned)
        else {
            return Ok(());
        };
        let directory = cache.directory.clone();
        session.send(&ToGuest::ListUpper { target })?;
        let (sender, receiver) = mpsc::channel::<Vec<u8>>(ARCHIVE_PIECES);
        let counter =
            tokio::task::spawn_blocking(move || cache::discarded(&directory, output::Pieces::new(receiver)));
        let streamed =
            timeout(PATIENCE, self.stream(session, sender, "what is thrown away of the cache")).await;
        let Ok(streamed) = streamed else {
            tracing::debug!("what is thrown away of the cache was not listed in time");
            return Ok(());
        };
        let counted = counter.await.context("the counter of what is thrown away panicked")?;
        match (streamed, counted) {
            (Err(error), _) if !output::is_refusal(&error) => return Err(error),
            (_, Ok(discarded)) => self.writes = Writes::Discarded(named(discarded)),
            // No build is worth less for what was to be thrown away.
            (_, Err(error)) => {
                tracing::debug!(error = %format!("{error:#}"), "what was thrown away is not known")
            }
        }
        Ok(())
    }
}

/// With names that are names.
fn named(Discarded { amounts, more }: Discarded) -> Discarded {
    let amounts = amounts.into_iter().map(|(name, amount)| (failure::printable(&name), amount)).collect();
    Discarded { amounts, more }
}
