//! A commit of a build, an import or a removal: the transaction, and then the summary of the cache.

use anyhow::Result;

use super::{
    lease::Lease,
    summary,
    txn::{
        commit::{self, Completed, Kept},
        commit_lock::CommitGuard,
        stage::Staged,
    },
};
use crate::event::WarningKind;

/// Decides and merges what is staged. When this returns, the commit is durable and kept whatever happens.
///
/// # Errors
/// A cache failure (7). Before the decision nothing is kept; after it the next lease completes the commit.
pub fn commit(lease: &Lease, staged: Staged, guard: CommitGuard) -> Result<Kept> {
    let decided = commit::decide(lease, staged, &guard)?;
    let completed = complete(lease, &guard)?;
    decided.kept(lease, completed)
}

/// Merges all that is decided, and brings the summary up to date.
pub(super) fn complete(lease: &Lease, guard: &CommitGuard) -> Result<Completed> {
    let completed = commit::complete(lease, guard)?;
    if let Err(error) = summary::add(lease, completed.deltas()) {
        // It never claims to be exact; `kiln cache report` counts.
        let text = format!("the summary of the cache was not brought up to date: {error:#}");
        lease.warn(WarningKind::SummaryStale, text);
    }
    Ok(completed)
}
