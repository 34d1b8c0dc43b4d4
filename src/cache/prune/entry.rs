//! One entry of a cache: files that are removed together.

use std::{collections::BTreeSet, time::SystemTime};

use crate::event::Amount;

/// Files that are removed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The kind of directory, as a report names it.
    pub kind: String,
    /// Its name among those of its kind.
    pub name: String,
    /// Its files and links.
    pub amount: Amount,
    /// When it was used last.
    pub used: SystemTime,
    /// Where it lies.
    pub(in crate::cache) paths: BTreeSet<Vec<u8>>,
}

impl Entry {
    /// Takes another one in: the two are one.
    pub(super) fn absorb(&mut self, other: Self) {
        let Self { kind: _, name: _, amount, used, paths } = other;
        self.amount.entries += amount.entries;
        self.amount.bytes += amount.bytes;
        self.used = self.used.max(used);
        self.paths.extend(paths);
    }
}
