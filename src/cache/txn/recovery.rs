//! The commits of earlier leases, whose kiln may have died: what is decided is completed, what is not is removed.
//!
//! [`Recovery::begin`], then [`super::commit::complete`], then [`Recovery::end`], all under the lock of commits.

use anyhow::{Context, Result};

use super::{
    commit::Completed, commit_lock::CommitGuard, journal::Journal, open_cache::OpenCache, staging,
    staging_root, stuck_commits,
};
use crate::event::WarningKind;

/// A recovery that has begun.
pub(in crate::cache) struct Recovery {
    journal: Journal,
}

/// Whether no commit is under way, and none was when a kiln died. Cheap.
pub(in crate::cache) fn is_clean(cache: &OpenCache) -> Result<bool> {
    staging::sweep_locks(cache)?;
    let staged = cache.root.stat(staging_root::DIRECTORY).context("look for .kiln in the cache")?;
    Ok(staged.is_none() && Journal::of(cache)?.is_empty()?)
}

impl Recovery {
    /// Begins one; `None` when nothing is to be done.
    pub(in crate::cache) fn begin(cache: &OpenCache, _guard: &CommitGuard) -> Result<Option<Self>> {
        if is_clean(cache)? {
            return Ok(None);
        }
        let journal = Journal::of(cache)?;
        journal.sweep()?;
        staging_root::open_up(cache)?;
        Ok(Some(Self { journal }))
    }

    /// The journal of the cache, to which records of an earlier key of this cache can be added now.
    pub(in crate::cache) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Warns of commits that cannot be finished, and removes the staging directories that no record names.
    pub(in crate::cache) fn end(self, cache: &OpenCache, completed: &Completed) -> Result<()> {
        for one in &completed.stuck {
            cache.warn(WarningKind::CommitStuck, format!("{}: {}", one.failure(cache), one.way_out()));
        }
        stuck_commits::remove_orphans(cache, &self.journal)
    }
}
