//! How a merge changes the amounts of a cache, counted entry by entry: not all staged entries get in, and an entry counts for
//! the merge that moves it.

use std::collections::BTreeMap;

use super::category::category;
use crate::{cache::dir::FileType, event::Amount};

/// Amounts by category.
pub type Amounts = BTreeMap<String, Amount>;

/// The changes, by category.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::cache) struct UsageDelta {
    /// Entries that were put into the cache.
    pub added: Amounts,
    /// Entries that were removed.
    pub removed: Amounts,
    /// Staged entries that stayed out, since another commit was faster.
    pub dropped: Amounts,
}

impl UsageDelta {
    /// Whether nothing was changed.
    pub(in crate::cache) fn is_empty(&self) -> bool {
        let Self { added, removed, dropped: _ } = self;
        added.is_empty() && removed.is_empty()
    }

    /// Applies the changes to the amounts of a cache.
    pub(in crate::cache) fn add_to(&self, amounts: &mut Amounts) {
        let Self { added, removed, dropped: _ } = self;
        for (kind, amount) in added {
            let sum = amounts.entry(kind.clone()).or_default();
            *sum = sum.plus(*amount);
        }
        subtract(amounts, removed);
    }
}

/// Adds the amount of an entry to its category.
pub(in crate::cache) fn count(amounts: &mut Amounts, path: &[u8], kind: FileType, amount: Amount) {
    if amount.entries > 0 {
        let sum = amounts.entry(category(path, kind == FileType::Directory)).or_default();
        *sum = sum.plus(amount);
    }
}

/// Subtracts amounts, down to zero.
pub(in crate::cache) fn subtract(amounts: &mut Amounts, away: &Amounts) {
    for (kind, Amount { entries, bytes }) in away {
        if let Some(amount) = amounts.get_mut(kind) {
            amount.entries = amount.entries.saturating_sub(*entries);
            amount.bytes = amount.bytes.saturating_sub(*bytes);
        }
    }
}
