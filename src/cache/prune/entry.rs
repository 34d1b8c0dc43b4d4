//! One entry of a cache: files that are removed together.

use std::{collections::BTreeSet, time::SystemTime};

use crate::event::Amount;

/// Files that are removed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its category, as a report names it.
    pub kind: String,
    /// Its name in the category.
    pub name: String,
    /// Its files and links.
    pub amount: Amount,
    /// Its last use.
    pub used: SystemTime,
    /// The paths of its files, or of directories that contain them.
    pub(in crate::cache) paths: BTreeSet<Vec<u8>>,
}

impl Entry {
    /// Makes another entry part of this one.
    pub(super) fn absorb(&mut self, other: Self) {
        let Self { kind: _, name: _, amount, used, paths } = other;
        self.amount.entries += amount.entries;
        self.amount.bytes += amount.bytes;
        self.used = self.used.max(used);
        self.paths.extend(paths);
    }
}
