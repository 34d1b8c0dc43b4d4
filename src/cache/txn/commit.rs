//! The end of a commit: it is decided in the journal, merged, and its record is removed.

use anyhow::{Context, Result};

use super::{
    commit_lock::CommitGuard,
    journal::{Journal, Reading},
    merge::Merge,
    open_cache::OpenCache,
    stage::{LeftOut, Staged},
    staging::Staging,
    stuck_commits::{self, StuckCommit},
    usage_delta::{self, Amounts, UsageDelta},
};
use crate::{
    cache::dir::{ctime, mtime},
    event::WarningKind,
    exit::{Code, Failure, explained},
    package::Time,
};

/// What a commit has kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// New files and links, by category.
    pub gains: Amounts,
    /// How many replacements and deletions, of this and of earlier commits, wait for the end of other leases.
    pub waiting: u64,
    /// Entries that were not kept.
    pub left_out: LeftOut,
}

/// A commit that is decided: durable, and kept whatever happens.
#[derive(Debug)]
pub(in crate::cache) struct Decided {
    number: u64,
    gains: Amounts,
    left_out: LeftOut,
    times: Vec<(Vec<u8>, Time)>,
}

/// Decides a commit.
///
/// # Errors
/// A cache failure (7): nothing is kept.
pub(in crate::cache) fn decide(cache: &OpenCache, staged: Staged, _guard: &CommitGuard) -> Result<Decided> {
    let Staged { mut staging, record, gains, left_out, times } = staged;
    let decide = || Journal::of(cache)?.decide(&record).context("decide a commit of the cache");
    let number = decide().map_err(|error| explained(error, || undecided(cache)))?;
    staging.decided();
    Ok(Decided { number, gains, left_out, times })
}

impl Decided {
    /// The outcome of this commit among all that were completed.
    ///
    /// # Errors
    /// A cache failure (7) when it cannot be finished.
    pub(in crate::cache) fn kept(self, cache: &OpenCache, completed: Completed) -> Result<Kept> {
        let Self { number, mut gains, left_out, times } = self;
        let Completed { waiting, stuck, deltas } = completed;
        if let Some(stuck) = stuck.into_iter().find(|stuck| stuck.number == number) {
            return Err(stuck.failure(cache).into());
        }
        if let Err(error) = renew_times(cache, &times) {
            // A tool that finds an old time fetches or compiles again.
            let text = format!("the times of the files that the build has used were not renewed: {error:#}");
            cache.warn(WarningKind::MtimesStale, text);
        }
        if let Some((_, delta)) = deltas.iter().find(|(of, _)| *of == number) {
            usage_delta::subtract(&mut gains, &delta.dropped);
            gains.retain(|_, amount| amount.entries > 0);
        }
        Ok(Kept { gains, waiting, left_out })
    }
}

/// Renews the times only if there is no other lease. A file that keeps its old time costs at most another download or compilation.
fn renew_times(cache: &OpenCache, times: &[(Vec<u8>, Time)]) -> Result<()> {
    if times.is_empty() {
        return Ok(());
    }
    cache.alone(|alone| if alone { mtime::renew(&cache.root, times) } else { Ok(()) })
}

fn undecided(cache: &OpenCache) -> Failure {
    Failure::new(
        Code::Cache,
        format!("what the build wrote was not kept in the cache {}", cache.directory.display()),
        format!("see that there is room for kiln's own directory {}", cache.home.root().display()),
    )
}

fn failed(cache: &OpenCache) -> Failure {
    Failure::new(
        Code::Cache,
        format!(
            "the commit is decided, but not all of it is in its place yet in the cache {}",
            cache.directory.display()
        ),
        "correct the cause named above; the next build, or kiln cache verify --repair, finishes it",
    )
}

/// The outcome of all decided commits.
#[derive(Debug)]
pub(in crate::cache) struct Completed {
    waiting: u64,
    pub(in crate::cache) stuck: Vec<StuckCommit>,
    /// How each of them changed the amounts, by its number.
    deltas: Vec<(u64, UsageDelta)>,
}

impl Completed {
    /// How they changed the amounts.
    pub(in crate::cache) fn deltas(&self) -> impl Iterator<Item = &UsageDelta> {
        self.deltas.iter().map(|(_, delta)| delta)
    }
}

/// Merges all that is decided, in order.
pub(in crate::cache) fn complete(cache: &OpenCache, _guard: &CommitGuard) -> Result<Completed> {
    merge_decided(cache).with_context(|| failed(cache))
}

fn merge_decided(cache: &OpenCache) -> Result<Completed> {
    let journal = Journal::of(cache)?;
    cache.alone(|alone| {
        let (mut waiting, mut stuck, mut deltas) = (0, Vec::new(), Vec::new());
        let pending = journal.pending()?;
        if !alone && pending.iter().any(|number| journal.waiting(*number).is_none()) {
            // New entries must be newer than the beginning of the leases that have not seen them.
            ctime::tick()?;
        }
        for number in pending {
            match merge_one(cache, &journal, number, alone)? {
                DecidedOutcome::Forgotten => {}
                DecidedOutcome::Merged { waiting: count, delta } => {
                    waiting += count;
                    deltas.push((number, delta));
                }
                DecidedOutcome::StuckCommit(one) => stuck.push(one),
            }
        }
        Ok(Completed { waiting, stuck, deltas })
    })
}

/// The outcome of one decided commit.
enum DecidedOutcome {
    /// Its record is gone.
    Forgotten,
    /// All entries are in their place, except this number.
    Merged {
        waiting: u64,
        delta: UsageDelta,
    },
    StuckCommit(StuckCommit),
}

fn merge_one(cache: &OpenCache, journal: &Journal, number: u64, alone: bool) -> Result<DecidedOutcome> {
    let record = match journal.read(number)? {
        None => return Ok(DecidedOutcome::Forgotten),
        Some(Reading::Unreadable(why)) => {
            return Ok(DecidedOutcome::StuckCommit(StuckCommit { number, why }));
        }
        Some(Reading::Whole(record)) => record,
    };
    let Some(staging) = Staging::open(cache, &record.staging)? else {
        return Ok(DecidedOutcome::StuckCommit(StuckCommit { number, why: stuck_commits::LOST }));
    };
    if let (false, Some(waiting)) = (alone, journal.waiting(number)) {
        return Ok(DecidedOutcome::Merged { waiting, delta: UsageDelta::default() });
    }
    let mut merge = Merge {
        cache: &cache.root,
        staging: &staging,
        record: &record,
        alone,
        waiting: 0,
        touched: 0,
        thrown: 0,
        delta: UsageDelta::default(),
    };
    merge.run()?;
    let Merge { waiting, delta, .. } = merge;
    if waiting == 0 {
        journal.complete(number)?;
        staging.remove()?;
    } else if let Err(error) = journal.waits(number, waiting) {
        tracing::debug!(error = %format!("{error:#}"), "the next lease finds out what is left to do");
    }
    Ok(DecidedOutcome::Merged { waiting, delta })
}
