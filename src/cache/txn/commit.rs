//! The end of a commit: decided in the journal, merged, and forgotten; and the same for those whose kiln died in between.

use anyhow::{Context, Result};

use super::{
    commit_lock::CommitGuard,
    foreign_entries,
    journal::{Journal, Reading, Record},
    merge::Merge,
    stage::{LeftOut, Staged},
    staging::{self, Staging},
    stuck_commits::{self, Broken},
    usage_delta::{self, Amounts, Tally},
};
use crate::{
    cache::{
        dir::{ctime, mtime},
        lease::Lease,
        rekey, summary,
    },
    exit::{Code, Failure, explained},
    package::Time,
};

/// FileType a commit kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// FileType is new, by kind of directory.
    pub gains: Amounts,
    /// How many replacements and deletions, of this and of earlier commits, wait until nobody else uses the cache.
    pub waiting: u64,
    /// FileType was not kept.
    pub left_out: LeftOut,
}

/// Decides and merges, when it has the turn. FileType this returns is durable, and will be in its place whatever happens.
///
/// # Errors
/// A cache failure (7). Before the decision nothing is kept; after it the next start finishes.
pub fn commit(lease: &Lease, staged: Staged, turn: CommitGuard) -> Result<Kept> {
    let Staged { mut staging, record, mut gains, left_out, times } = staged;
    let number = decide(lease, &record, &turn).map_err(|error| explained(error, || undecided(lease)))?;
    staging.decided();
    drop(staging);
    let Completed { waiting, broken, tallies } = complete(lease).with_context(|| failed(lease))?;
    if let Some(broken) = broken.into_iter().find(|broken| broken.number == number) {
        return Err(broken.failure(lease).into());
    }
    if let Err(error) = renew_times(lease, &times) {
        // A tool that finds an old time fetches or compiles once more.
        tracing::warn!(error = %format!("{error:#}"), "the times of what the build has used were not renewed");
    }
    if let Some((_, tally)) = tallies.iter().find(|(of, _)| *of == number) {
        usage_delta::less(&mut gains, &tally.dropped);
        gains.retain(|_, amount| amount.entries > 0);
    }
    Ok(Kept { gains, waiting, left_out })
}

/// Only while nobody else uses the cache: an earlier time does no more harm than that a tool removes a file too early.
fn renew_times(lease: &Lease, times: &[(Vec<u8>, Time)]) -> Result<()> {
    if times.is_empty() {
        return Ok(());
    }
    lease.alone(|alone| if alone { mtime::renew(&lease.place, times) } else { Ok(()) })
}

/// The moment from which on it will be kept.
fn decide(lease: &Lease, record: &Record, _turn: &CommitGuard) -> Result<u64> {
    Journal::of(lease)?.decide(record).context("decide a commit of the cache")
}

fn undecided(lease: &Lease) -> Failure {
    Failure::new(
        Code::Cache,
        format!("what the build wrote was not kept in the cache {}", lease.directory.display()),
        format!("see that there is room for kiln's own directory {}", lease.home.root().display()),
    )
}

fn failed(lease: &Lease) -> Failure {
    Failure::new(
        Code::Cache,
        format!(
            "the commit is decided, but not all of it is in its place yet in the cache {}",
            lease.directory.display()
        ),
        "mend what is named; the next build, or kiln cache verify --repair, finishes it",
    )
}

/// Finishes what is decided, and removes what never was, unless another one is at it, who is not the last then. Cheap when
/// there is nothing to do.
pub(in crate::cache) fn recover(lease: &Lease) -> Result<()> {
    if !is_clean(lease)?
        && let Some(turn) = lease.queue()?.try_turn()?
    {
        recover_in_turn(lease, &turn)?;
    }
    Ok(())
}

/// Whether nothing is under way into the cache, nor was when somebody died.
fn is_clean(lease: &Lease) -> Result<bool> {
    staging::sweep_locks(lease)?;
    let staged = lease.place.stat(staging::DIRECTORY).context("look for .kiln in the cache")?;
    Ok(staged.is_none() && Journal::of(lease)?.is_empty()?)
}

/// The same for whoever has the turn.
pub(in crate::cache) fn recover_in_turn(lease: &Lease, _turn: &CommitGuard) -> Result<()> {
    if is_clean(lease)? {
        return Ok(());
    }
    let journal = Journal::of(lease)?;
    journal.sweep()?;
    foreign_entries::open_up(lease)?;
    rekey::adopt(lease, &journal)?;
    let Completed { waiting: _, broken, tallies: _ } = complete(lease).with_context(|| failed(lease))?;
    for one in &broken {
        tracing::warn!("{}: {}", one.failure(lease), one.way_out());
    }
    stuck_commits::remove_orphans(lease, &journal)
}

/// FileType came of the decided commits.
struct Completed {
    waiting: u64,
    broken: Vec<Broken>,
    /// FileType each of them made of the amounts, by its number.
    tallies: Vec<(u64, Tally)>,
}

/// Merges all that is decided, in order; under the lock of commits.
fn complete(lease: &Lease) -> Result<Completed> {
    let journal = Journal::of(lease)?;
    lease.alone(|alone| {
        let (mut waiting, mut broken, mut tallies) = (0, Vec::new(), Vec::new());
        let pending = journal.pending()?;
        if !alone && pending.iter().any(|number| journal.waiting(*number).is_none()) {
            // FileType is put there must be newer than the beginning of all that do not see it.
            ctime::tick()?;
        }
        for number in pending {
            match one(lease, &journal, number, alone)? {
                One::Forgotten => {}
                One::Merged { waiting: count, tally } => {
                    waiting += count;
                    tallies.push((number, tally));
                }
                One::Broken(one) => broken.push(one),
            }
        }
        if let Err(error) = summary::add(lease, tallies.iter().map(|(_, tally)| tally)) {
            // It never claims to be exact; `kiln cache report` counts.
            tracing::warn!(%error, "the summary of the cache was not brought up to date");
        }
        Ok(Completed { waiting, broken, tallies })
    })
}

/// FileType came of one of them.
enum One {
    /// Its record is gone.
    Forgotten,
    /// All of it is in its place but so many entries.
    Merged {
        waiting: u64,
        tally: Tally,
    },
    Broken(Broken),
}

fn one(lease: &Lease, journal: &Journal, number: u64, alone: bool) -> Result<One> {
    let record = match journal.read(number)? {
        None => return Ok(One::Forgotten),
        Some(Reading::Unreadable(why)) => return Ok(One::Broken(Broken { number, why })),
        Some(Reading::Whole(record)) => record,
    };
    let Some(staging) = Staging::open(lease, &record.staging)? else {
        return Ok(One::Broken(Broken { number, why: stuck_commits::LOST }));
    };
    if let (false, Some(waiting)) = (alone, journal.waiting(number)) {
        return Ok(One::Merged { waiting, tally: Tally::default() });
    }
    let mut merge = Merge {
        cache: &lease.place,
        staging: &staging,
        record: &record,
        alone,
        waiting: 0,
        touched: 0,
        thrown: 0,
        tally: Tally::default(),
    };
    merge.run()?;
    let Merge { waiting, tally, .. } = merge;
    if waiting == 0 {
        journal.complete(number)?;
        staging.remove()?;
    } else if let Err(error) = journal.waits(number, waiting) {
        tracing::debug!(error = %format!("{error:#}"), "the next one looks for what is left to do");
    }
    Ok(One::Merged { waiting, tally })
}
