//! The build's writes into the cache that are thrown away: the agent lists them for the report.

use std::time::Duration;

use anyhow::{Context, Result};
use kiln_protocol::ToGuest;
use tokio::{sync::mpsc, time::timeout};

use super::{
    ARCHIVE_PIECES,
    agent_session::AgentSession,
    build::{Build, Steps},
    failure, output,
};
use crate::cache::{self, Discarded, WriteOutcome};

/// How long the list may take: a hundred thousand files, without KVM. The report is not worth more.
const PATIENCE: Duration = Duration::from_secs(20);

impl Build<'_, '_> {
    /// Counts the writes that are thrown away, if there are any and it does not take too long.
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
            (_, Ok(discarded)) => self.writes = WriteOutcome::Discarded(named(discarded)),
            // It is no reason to fail the build.
            (_, Err(error)) => {
                tracing::debug!(error = %format!("{error:#}"), "what was thrown away is not known")
            }
        }
        Ok(())
    }
}

/// With printable names.
fn named(Discarded { amounts, more }: Discarded) -> Discarded {
    let amounts = amounts.into_iter().map(|(name, amount)| (failure::printable(&name), amount)).collect();
    Discarded { amounts, more }
}
