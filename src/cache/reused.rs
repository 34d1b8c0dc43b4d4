//! FileType a build has read of what the cache held, as far as it is known.

use super::{summary::Usage, txn::usage_delta::Amounts};
use crate::event::{Amount, UsageGap};

/// FileType the steps have read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reused {
    /// Nobody could tell, for this reason.
    Unknown(String),
    /// It was counted.
    Counted(ReadUsage),
}

/// A count of what was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadUsage {
    /// By kind of directory.
    pub amounts: Amounts,
    /// Files that count if they were there before the build.
    pub unclear: Vec<Unclear>,
    /// How many more files may count, or with another size.
    pub unknown: u64,
    /// Whether there were more than could be counted.
    pub overflow: bool,
}

/// A file that was read, and that the build has made, changed, replaced or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear {
    /// The kind of its directory.
    pub directory: String,
    /// Its number.
    pub inode: u64,
}

impl Default for Reused {
    /// Until the agent has been asked.
    fn default() -> Self {
        Self::Unknown("the build ended before it could be asked for".into())
    }
}

impl Reused {
    /// Settles what was unclear by what is known of the cache as it was before.
    #[must_use]
    pub fn settled(self, held: Option<&Usage>) -> Self {
        match (self, held.and_then(|held| held.files.as_ref())) {
            (Self::Counted(usage), Some(files)) => {
                Self::Counted(usage.settled(|inode| files.get(&inode).copied()))
            }
            (reused, _) => reused,
        }
    }

    /// By kind of directory; `None` where it is not known.
    pub(super) fn amounts(&self) -> Option<&Amounts> {
        match self {
            Self::Unknown(_) => None,
            Self::Counted(usage) => Some(&usage.amounts),
        }
    }

    /// Whether there is nothing more than what was counted, if anything was.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::Unknown(_)) || self.why().is_none()
    }

    /// Why it is not known, or not all.
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
    /// `bytes` says what a file held before, if it was there.
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
    fn what_is_unclear_counts_if_the_cache_held_it_and_is_said_where_nobody_knows() {
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
