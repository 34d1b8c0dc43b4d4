//! A build's writes into the cache: out of the guest, and, when the whole build has succeeded, into the host's directory.
//!
//! Before it: the steps. After it: [`crate::cache`], which stages and merges in threads of their own.

use std::sync::Arc;

use anyhow::{Context, Result};
use kiln_protocol::ToGuest;
use tokio::sync::mpsc;

use super::{
    ARCHIVE_PIECES,
    agent_session::AgentSession,
    build::{Build, Commit},
    output,
};
use crate::cache::{self, Outcome, Staged, WriteOutcome};

impl Build<'_, '_> {
    /// Takes the build's writes into the cache out of the guest, and stages them; the host's directory stays as it is.
    pub(super) async fn stage(
        &mut self,
        session: &mut AgentSession,
        commit: Commit,
    ) -> Result<Option<Box<Staged>>> {
        let target = self.engine.plan.cache_overlay().context("the world has no overlay for the cache")?;
        session.send(&ToGuest::ExportUpper { target: target.to_owned() })?;
        let (sender, receiver) = mpsc::channel::<Vec<u8>>(ARCHIVE_PIECES);
        let Commit { lease, limit } = commit;
        let writer =
            tokio::task::spawn_blocking(move || cache::stage(&lease, output::Pieces::new(receiver), limit));
        let streamed = self.stream(session, sender, "what is new in the cache").await;
        let outcome = writer.await.context("the writer of the cache panicked")?;
        match (streamed, outcome) {
            // At its limit the writer stops reading, too.
            (Err(error), Ok(Outcome::TooMuch(why))) if output::is_refusal(&error) => {
                self.writes = WriteOutcome::TooMuch(why);
                Ok(None)
            }
            (Err(error), _) if !output::is_refusal(&error) => Err(error),
            (_, Err(error)) => Err(self.refused(error)),
            (Err(error), Ok(_)) => Err(error),
            (Ok(()), Ok(Outcome::TooMuch(why))) => {
                self.writes = WriteOutcome::TooMuch(why);
                Ok(None)
            }
            (Ok(()), Ok(Outcome::Unchanged(left_out))) => {
                self.writes = WriteOutcome::Unchanged(left_out);
                Ok(None)
            }
            (Ok(()), Ok(Outcome::Staged(staged))) => Ok(Some(staged)),
        }
    }

    pub(super) async fn merge(
        &mut self,
        staged: Box<Staged>,
        Commit { lease, limit: _ }: Commit,
    ) -> Result<()> {
        let lock = lease.commit_lock()?;
        let guard = tokio::select! {
            guard = lock.lock_in_thread(self.engine.sink) => guard,
            // The staged files are removed on drop.
            error = self.engine.interrupts.refuse() => return Err(error),
        };
        let merged = match guard {
            Ok(guard) => {
                let owned = Arc::clone(&lease);
                let merged = tokio::task::spawn_blocking(move || cache::commit(&owned, *staged, guard));
                let merged = merged.await.context("the commit of the cache panicked")?;
                lease.emit_remarks(self.engine.sink);
                merged
            }
            Err(error) => Err(error),
        };
        match merged {
            Ok(kept) => {
                self.writes = WriteOutcome::Committed(kept);
                Ok(())
            }
            Err(error) => Err(self.refused(error)),
        }
    }

    /// A failure of the cache, which fails a build whose steps have all succeeded.
    fn refused(&mut self, error: anyhow::Error) -> anyhow::Error {
        self.writes = WriteOutcome::Refused(error.to_string());
        error
    }
}
