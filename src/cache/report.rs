//! What a build has read and changed in the cache, for the event and the summary.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    discarded::Discarded,
    reused::Reused,
    summary::{self, Usage},
    txn::{commit::Kept, stage::LeftOut, usage_delta::Amounts},
};
use crate::{
    event::{Amount, CacheDirectory, CacheFate, CacheReport, DiscardGap},
    home::Home,
    plan::{CacheMode, CacheMount, CacheShare},
};

/// The outcome of the build's writes to the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// They are lost: the build failed, or wrote nothing that could be kept.
    Lost,
    /// They were discarded, and counted before.
    Discarded(Discarded),
    /// They were committed.
    Committed(Kept),
    /// The cache had all of them but those that were left out.
    Unchanged(LeftOut),
    /// They were more than the limit allows; in words.
    TooMuch(String),
    /// The commit failed, though all steps had succeeded; in words.
    Refused(String),
    /// They went straight through; the growth of the cache, where it is known.
    Through(Option<Growth>),
}

/// How a cache has grown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Growth {
    /// By new entries: not those that no commit would keep, nor those that every build writes again.
    pub new: Amounts,
    /// By those.
    pub besides: Amounts,
}

/// The outcome of writes that went straight through; the growth is not known for a large cache, which is not counted.
pub fn written(home: &Home, plan: &CacheMount, held: Option<&Usage>) -> anyhow::Result<WriteOutcome> {
    let after = summary::after_writes(home, &plan.directory)?;
    let before = held.filter(|held| held.exact);
    let growth = |(before, after): (&Usage, Usage)| {
        let new = grown(&before.worth, &after.worth);
        let besides = grown(&new, &grown(&before.amounts, &after.amounts));
        Growth { new, besides }
    };
    Ok(WriteOutcome::Through(before.zip(after).map(growth)))
}

/// The report of a build.
pub fn report(
    plan: Option<&CacheMount>,
    held: Option<&Usage>,
    writes: &WriteOutcome,
    reused: &Reused,
    succeeded: bool,
) -> CacheReport {
    let Some(plan) = plan else {
        return CacheReport {
            mode: None,
            persisted: false,
            why: CacheFate::NoCache,
            waiting: 0,
            exact: true,
            reused_why: None,
            left_out: None,
            discarded: None,
            discarded_why: None,
            directories: Vec::new(),
        };
    };
    let why = fate(plan, writes, succeeded);
    let persisted = why.persisted();
    CacheReport {
        mode: Some(plan.mode),
        persisted,
        why,
        waiting: waiting(writes),
        exact: held.is_some_and(|held| held.exact) && reused.is_whole(),
        reused_why: reused.why(),
        left_out: left_out(writes),
        discarded: discarded(plan, writes),
        discarded_why: discarded_why(plan, writes, persisted),
        directories: directories(plan, held, writes, reused),
    }
}

fn waiting(writes: &WriteOutcome) -> u64 {
    match writes {
        WriteOutcome::Committed(kept) => kept.waiting,
        WriteOutcome::Unchanged(_)
        | WriteOutcome::Lost
        | WriteOutcome::Discarded(_)
        | WriteOutcome::TooMuch(_)
        | WriteOutcome::Refused(_)
        | WriteOutcome::Through(_) => 0,
    }
}

fn left_out(writes: &WriteOutcome) -> Option<String> {
    match writes {
        WriteOutcome::Committed(kept) => kept.left_out.words(),
        WriteOutcome::Unchanged(left_out) => left_out.words(),
        WriteOutcome::Lost
        | WriteOutcome::Discarded(_)
        | WriteOutcome::TooMuch(_)
        | WriteOutcome::Refused(_)
        | WriteOutcome::Through(_) => None,
    }
}

/// The sum of the discarded writes, where they were counted.
fn discarded(plan: &CacheMount, writes: &WriteOutcome) -> Option<Amount> {
    match (plan.mode, writes) {
        (CacheMode::Ro, _) => Some(Amount::default()),
        (_, WriteOutcome::Discarded(discarded)) => Some(discarded.sum()),
        (CacheMode::Discard | CacheMode::Commit | CacheMode::Rw, _) => None,
    }
}

/// Why the sum is not exact, or not known.
fn discarded_why(plan: &CacheMount, writes: &WriteOutcome, persisted: bool) -> Option<DiscardGap> {
    match (writes, discarded(plan, writes)) {
        (WriteOutcome::Discarded(Discarded { more: true, .. }), _) => Some(DiscardGap::TooMuch),
        (_, None) if !persisted => Some(DiscardGap::NotCounted),
        (_, Some(_) | None) => None,
    }
}

fn fate(plan: &CacheMount, writes: &WriteOutcome, succeeded: bool) -> CacheFate {
    match (plan.mode, writes) {
        (CacheMode::Commit, WriteOutcome::Committed(Kept { waiting: 0, .. })) => CacheFate::Merged,
        (CacheMode::Commit, WriteOutcome::Committed(Kept { waiting, .. })) => CacheFate::Waiting(*waiting),
        (CacheMode::Commit, WriteOutcome::Unchanged(_)) => CacheFate::NothingToCommit,
        (CacheMode::Commit, WriteOutcome::TooMuch(why)) => CacheFate::OverLimit(why.clone()),
        (CacheMode::Commit, WriteOutcome::Refused(why)) => CacheFate::Refused(why.clone()),
        (CacheMode::Commit, WriteOutcome::Lost | WriteOutcome::Discarded(_) | WriteOutcome::Through(_)) => {
            CacheFate::BuildFailed
        }
        (CacheMode::Rw, _) if succeeded => CacheFate::WrittenThrough,
        (CacheMode::Rw, _) => CacheFate::WrittenThroughByFailure,
        (CacheMode::Ro, _) => CacheFate::ReadOnly,
        (CacheMode::Discard, WriteOutcome::Discarded(Discarded { amounts, more: false }))
            if amounts.is_empty() =>
        {
            CacheFate::NothingToDiscard
        }
        (CacheMode::Discard, _) => match plan.share {
            CacheShare::NineP => CacheFate::DiscardedBy9p,
            CacheShare::Virtiofs | CacheShare::Embedded | CacheShare::Bind => CacheFate::Discarded,
        },
    }
}

fn directories(
    plan: &CacheMount,
    held: Option<&Usage>,
    writes: &WriteOutcome,
    reused: &Reused,
) -> Vec<CacheDirectory> {
    let before = held.map(|held| &held.amounts);
    let none = Amounts::new();
    let new = match writes {
        _ if plan.mode == CacheMode::Ro => Some(&none),
        WriteOutcome::Discarded(discarded) => Some(&discarded.amounts),
        WriteOutcome::Committed(kept) => Some(&kept.gains),
        WriteOutcome::Unchanged(_) => Some(&none),
        WriteOutcome::Through(growth) => growth.as_ref().map(|growth| &growth.new),
        WriteOutcome::Lost | WriteOutcome::TooMuch(_) | WriteOutcome::Refused(_) => None,
    };
    let besides = match writes {
        WriteOutcome::Through(growth) => growth.as_ref().map(|growth| &growth.besides),
        _ => None,
    };
    let reused = reused.amounts();
    let known = [before, new, besides, reused];
    let names: BTreeSet<&String> = known.into_iter().flatten().flat_map(BTreeMap::keys).collect();
    let row = |name: &String| CacheDirectory {
        name: name.clone(),
        before: before.map(|amounts| amounts.get(name).copied().unwrap_or_default()),
        new: new.map(|amounts| amounts.get(name).copied().unwrap_or_default()),
        besides: besides.map(|amounts| amounts.get(name).copied().unwrap_or_default()),
        reused: reused.map(|amounts| amounts.get(name).copied().unwrap_or_default()),
    };
    names.into_iter().map(row).collect()
}

fn grown(before: &Amounts, after: &Amounts) -> Amounts {
    let each = |(name, now): (&String, &Amount)| {
        let then = before.get(name).copied().unwrap_or_default();
        let entries = now.entries.saturating_sub(then.entries);
        (name.clone(), Amount { entries, bytes: now.bytes.saturating_sub(then.bytes) })
    };
    after.iter().map(each).collect()
}
