//! Commits that were decided and cannot be finished: their record cannot be read, or their staging directory is gone.
//!
//! kiln has reported them as kept, so it does not forget them silently: the record stays, each lease warns,
//! [`crate::cache::verify`] counts it as a fault, and only a repair gives the commit up. Until then no staging directory is
//! removed that the record may name.

use std::path::PathBuf;

use anyhow::Result;

use super::{
    journal::{Journal, Reading},
    open_cache::OpenCache,
    staging,
};
use crate::exit::{Code, Failure};

/// The reason if the staging directory is gone. kiln removes a record before its staging directory.
pub(in crate::cache) const LOST: &str =
    "its staging directory in .kiln is gone, or the cache is not the one that it was made for";

/// A commit that cannot be finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cache) struct StuckCommit {
    pub number: u64,
    /// The reason, in words.
    pub why: &'static str,
}

impl StuckCommit {
    /// As an error.
    pub(in crate::cache) fn failure(&self, cache: &OpenCache) -> Failure {
        let Self { number, why } = self;
        let what =
            format!("commit {number} of the cache {} cannot be finished: {why}", cache.directory.display());
        Failure::new(Code::Cache, what, self.way_out())
    }

    /// What the user can do about it.
    pub(in crate::cache) fn way_out(&self) -> &'static str {
        "kiln cache verify --repair gives it up; build again what it came from"
    }
}

/// All of a cache, with the files of their records. Under the lock of commits.
pub(in crate::cache) fn of(cache: &OpenCache, journal: &Journal) -> Result<Vec<(StuckCommit, PathBuf)>> {
    let mut found = Vec::new();
    for number in journal.pending()? {
        let why = match journal.read(number)? {
            None => continue,
            Some(Reading::Unreadable(why)) => why,
            Some(Reading::Whole(record)) if staging::is_there(cache, &record.staging)? => continue,
            Some(Reading::Whole(_)) => LOST,
        };
        found.push((StuckCommit { number, why }, journal.path(number)));
    }
    Ok(found)
}

/// Gives all of them up, and removes the staging directories that no record names any more. Under the lock of commits, without
/// another lease.
pub(in crate::cache) fn give_up(cache: &OpenCache, journal: &Journal) -> Result<()> {
    for (StuckCommit { number, .. }, _) in of(cache, journal)? {
        journal.complete(number)?;
    }
    remove_orphans(cache, journal)
}

/// Removes the staging directories of makers that died, but none if a record cannot be read: it may name one. Under the lock
/// of commits.
pub(in crate::cache) fn remove_orphans(cache: &OpenCache, journal: &Journal) -> Result<()> {
    let mut named = Vec::new();
    for number in journal.pending()? {
        match journal.read(number)? {
            None => {}
            Some(Reading::Whole(record)) => named.push(record.staging),
            Some(Reading::Unreadable(_)) => return Ok(()),
        }
    }
    staging::remove_orphans(cache, &named)
}
