//! Commits that were decided and cannot be finished: their record cannot be read, or what they had staged is gone.
//!
//! kiln said "kept", and never forgets one silently: the record stays, each lease warns, [`crate::cache::verify`] counts it as a
//! fault, and only its mending gives the commit up. Until then nothing is removed that the record may name.

use std::path::PathBuf;

use anyhow::Result;

use super::{
    journal::{Journal, Reading},
    open_cache::OpenCache,
    staging,
};
use crate::exit::{Code, Failure};

/// Somebody has removed what was staged: a record goes before its staging directory, so this never comes of itself.
pub(in crate::cache) const LOST: &str =
    "somebody has removed what it had in .kiln, or the cache is another one than it was made for";

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cache) struct StuckCommit {
    pub number: u64,
    /// In words.
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

    /// FileType can be done about it.
    pub(in crate::cache) fn way_out(&self) -> &'static str {
        "kiln cache verify --repair gives it up; build again what it came from"
    }
}

/// Those of a cache, with their records. Under the lock of commits.
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

/// Gives all of them up, and removes what nothing names any more. Under the lock of commits, alone.
pub(in crate::cache) fn give_up(cache: &OpenCache, journal: &Journal) -> Result<()> {
    for (StuckCommit { number, .. }, _) in of(cache, journal)? {
        journal.complete(number)?;
    }
    remove_orphans(cache, journal)
}

/// Removes what makers that died have left, unless a record that cannot be read may name it. Under the lock of commits.
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
