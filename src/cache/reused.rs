//! The entries of the cache that a build has read, as far as they are known.

use super::{summary::Usage, txn::usage_delta::Amounts};
use crate::event::{Amount, UsageGap};

/// The entries that the steps have read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reused {
    /// They are not known, for this reason.
    Unknown(String),
    /// They were counted.
    Counted(ReadUsage),
}

/// A count of the entries that were read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadUsage {
    /// By category.
    pub amounts: Amounts,
    /// Files that count if the cache had them before the build.
    pub unclear: Vec<Unclear>,
    /// How many more files may count, or count with another size.
    pub unknown: u64,
    /// Whether there were more than could be counted.
    pub overflow: bool,
}

/// A file that was read, and that the build has made, changed, replaced or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear {
    /// Its category.
    pub directory: String,
    /// Its inode.
    pub inode: u64,
}

impl Default for Reused {
    /// The value until the agent has reported.
    fn default() -> Self {
        Self::Unknown("the build ended before it could be asked for".into())
    }
}

impl Reused {
    /// Counts the unclear files that the cache had before the build, if that is known.
    #[must_use]
    pub fn settled(self, held: Option<&Usage>) -> Self {
        match (self, held.and_then(|held| held.files.as_ref())) {
            (Self::Counted(usage), Some(files)) => {
                Self::Counted(usage.settled(|inode| files.get(&inode).copied()))
            }
            (reused, _) => reused,
        }
    }

    /// By category; `None` where it is not known.
    pub(super) fn amounts(&self) -> Option<&Amounts> {
        match self {
            Self::Unknown(_) => None,
            Self::Counted(usage) => Some(&usage.amounts),
        }
    }

    /// Whether the count is complete, if there is one.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::Unknown(_)) || self.why().is_none()
    }

    /// Why it is not known, or not complete.
    pub(super) fn why(&self) -> Option<UsageGap> {
        match self {
            Self::Unknown(why) => Some(UsageGap::Unknown(why.clone())),
            Self::Counted(ReadUsage { overflow: true, .. }) => Some(UsageGap::TooMany),
            Self::Counted(usage) => match usage.unknown.saturating_add(usage.unclear.len() as u64) {
                0 => None,
                files => Some(UsageGap::Changed(files)),
            },
        }
    }
}

impl ReadUsage {
    /// `bytes` returns the size of a file before the build, if there was one.
    fn settled(mut self, bytes: impl Fn(u64) -> Option<u64>) -> Self {
        for Unclear { directory, inode } in std::mem::take(&mut self.unclear) {
            if let Some(bytes) = bytes(inode) {
                let sum = self.amounts.entry(directory).or_default();
                *sum = sum.plus(Amount { entries: 1, bytes });
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn unclear_files_count_if_the_cache_had_them() {
        let unclear = |inode| Unclear { directory: "pip".into(), inode };
        let usage = ReadUsage { unclear: vec![unclear(1), unclear(2)], ..ReadUsage::default() };
        let reused = Reused::Counted(usage);
        let held = |files| Usage { files, ..Usage::default() };

        let settled = reused.clone().settled(Some(&held(Some(HashMap::from([(1, 10), (3, 30)])))));
        let amounts = Amounts::from([("pip".to_owned(), Amount { entries: 1, bytes: 10 })]);
        assert_eq!(settled, Reused::Counted(ReadUsage { amounts, ..ReadUsage::default() }));
        assert_eq!(settled.why(), None);

        for unknown in [None, Some(held(None))] {
            let reused = reused.clone().settled(unknown.as_ref());
            assert_eq!(reused.why(), Some(UsageGap::Changed(2)));
            assert!(reused.amounts().is_some_and(Amounts::is_empty));
        }
    }
}
