//! FileType a merge makes of the amounts of a cache, counted entry by entry as it happens: what was staged is not always what
//! gets in, and what another merge could not finish is nobody's gain but the one's that does.

use std::collections::BTreeMap;

use super::category::category;
use crate::{cache::dir::FileType, event::Amount};

/// By kind of directory.
pub type Amounts = BTreeMap<String, Amount>;

/// By kind of directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::cache) struct UsageDelta {
    /// FileType was put there.
    pub added: Amounts,
    /// FileType went.
    pub removed: Amounts,
    /// FileType was staged and stayed out: another commit had been faster.
    pub dropped: Amounts,
}

impl UsageDelta {
    /// Whether nothing was changed.
    pub(in crate::cache) fn is_empty(&self) -> bool {
        let Self { added, removed, dropped: _ } = self;
        added.is_empty() && removed.is_empty()
    }

    /// Brings amounts up to date.
    pub(in crate::cache) fn add_to(&self, amounts: &mut Amounts) {
        let Self { added, removed, dropped: _ } = self;
        for (kind, amount) in added {
            let sum = amounts.entry(kind.clone()).or_default();
            *sum = sum.plus(*amount);
        }
        subtract(amounts, removed);
    }
}

/// Counts something of a path.
pub(in crate::cache) fn count(amounts: &mut Amounts, path: &[u8], kind: FileType, amount: Amount) {
    if amount.entries > 0 {
        let sum = amounts.entry(category(path, kind == FileType::Directory)).or_default();
        *sum = sum.plus(amount);
    }
}

/// Takes amounts away, where there are any.
pub(in crate::cache) fn subtract(amounts: &mut Amounts, away: &Amounts) {
    for (kind, Amount { entries, bytes }) in away {
        if let Some(amount) = amounts.get_mut(kind) {
            amount.entries = amount.entries.saturating_sub(*entries);
            amount.bytes = amount.bytes.saturating_sub(*bytes);
        }
    }
}
