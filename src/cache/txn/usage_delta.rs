//! FileType a merge makes of the amounts of a cache, counted entry by entry as it happens: what was staged is not always what
//! gets in, and what another merge could not finish is nobody's gain but the one's that does.

use std::ops::ControlFlow;

use anyhow::Result;
use nix::sys::stat::FileStat;

use super::rules;
use crate::{
    cache::{
        dir::{BeneathDir, FileType, walk::walk, what},
        summary::Amounts,
    },
    event::Amount,
};

/// By kind of directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::cache) struct Tally {
    /// FileType was put there.
    pub added: Amounts,
    /// FileType went.
    pub removed: Amounts,
    /// FileType was staged and stayed out: another commit had been faster.
    pub dropped: Amounts,
}

impl Tally {
    /// Whether nothing was changed.
    pub(in crate::cache) fn is_empty(&self) -> bool {
        let Self { added, removed, dropped: _ } = self;
        added.is_empty() && removed.is_empty()
    }

    /// Brings amounts up to date.
    pub(in crate::cache) fn onto(&self, amounts: &mut Amounts) {
        let Self { added, removed, dropped: _ } = self;
        for (kind, amount) in added {
            let sum = amounts.entry(kind.clone()).or_default();
            *sum = sum.plus(*amount);
        }
        less(amounts, removed);
    }
}

/// Counts something of a path.
pub(in crate::cache) fn count(amounts: &mut Amounts, path: &[u8], kind: FileType, amount: Amount) {
    if amount.entries > 0 {
        let sum = amounts.entry(rules::kind(path, kind == FileType::Directory)).or_default();
        *sum = sum.plus(amount);
    }
}

/// Takes amounts away, where there are any.
pub(in crate::cache) fn less(amounts: &mut Amounts, away: &Amounts) {
    for (kind, Amount { entries, bytes }) in away {
        if let Some(amount) = amounts.get_mut(kind) {
            amount.entries = amount.entries.saturating_sub(*entries);
            amount.bytes = amount.bytes.saturating_sub(*bytes);
        }
    }
}

/// All files and links of a tree.
pub(in crate::cache) fn weigh(parent: &BeneathDir, name: &[u8]) -> Result<Amount> {
    let Some(stat) = parent.stat(name)? else { return Ok(Amount::default()) };
    if what(&stat) != FileType::Directory {
        return Ok(of(&stat));
    }
    let mut sum = Amount::default();
    let Some(place) = parent.dir(name)? else { return Ok(sum) };
    walk(&place, |found| {
        if found.what != FileType::Directory {
            sum = sum.plus(of(&found.stat));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(sum)
}

/// One file or link.
pub(in crate::cache) fn of(stat: &FileStat) -> Amount {
    Amount { entries: 1, bytes: content(stat) }
}

/// The bytes that a file or link holds: its length without what is a hole. So a sparse file does not count for more than
/// there is to be gained by its removal, and a small one not for a whole block.
pub(in crate::cache) fn content(stat: &FileStat) -> u64 {
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    let length = unsigned(stat.st_size);
    // A short link lies in its inode, and has no blocks.
    if what(stat) == FileType::File {
        length.min(unsigned(stat.st_blocks).saturating_mul(512))
    } else {
        length
    }
}
