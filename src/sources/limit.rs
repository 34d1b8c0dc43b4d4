//! How much a run may fetch: of one source, and of all together. A build file may name any number of sources of any size.

use std::{cell::Cell, fmt};

/// The value of `--limit`, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimit {
    /// The most of one source: a file, or all that git fetches and unpacks for a repository.
    pub each: u64,
    /// The most of all sources of a run.
    pub total: u64,
}

impl Default for FetchLimit {
    fn default() -> Self {
        Self { each: 16 << 30, total: 64 << 30 }
    }
}

/// A source, or all of them, would exceed the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OverLimit {
    Each(u64),
    Total(u64),
}

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Each(bytes) => write!(f, "it is more than {}: --limit allows more", size(*bytes)),
            Self::Total(bytes) => {
                write!(
                    f,
                    "with it all sources are more than {}: --limit SIZE,TOTAL allows more",
                    size(*bytes)
                )
            }
        }
    }
}

impl std::error::Error for OverLimit {}

fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) { format!("{} MiB", bytes >> 20) } else { format!("{bytes} bytes") }
}

/// The rest of a limit, for tasks of one thread.
#[derive(Debug)]
pub(super) struct Budget {
    limit: FetchLimit,
    spent: Cell<u64>,
}

impl Budget {
    pub(super) fn of(limit: FetchLimit) -> Self {
        Self { limit, spent: Cell::new(0) }
    }

    /// Counts fetched bytes; `source` is the size of their source with them.
    pub(super) fn spend(&self, bytes: u64, source: u64) -> Result<(), OverLimit> {
        self.check(bytes, source)?;
        self.spent.set(self.spent.get() + bytes);
        Ok(())
    }

    /// Whether so many more bytes would be too many.
    pub(super) fn check(&self, bytes: u64, source: u64) -> Result<(), OverLimit> {
        let FetchLimit { each, total } = self.limit;
        if source > each {
            return Err(OverLimit::Each(each));
        }
        if self.spent.get().saturating_add(bytes) > total {
            return Err(OverLimit::Total(total));
        }
        Ok(())
    }

    /// The most that one file may be.
    pub(super) fn each(&self) -> u64 {
        self.limit.each
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_and_all_of_them_are_bounded() {
        let budget = Budget::of(FetchLimit { each: 10, total: 25 });
        assert_eq!(budget.spend(10, 10), Ok(()));
        assert_eq!(budget.spend(1, 11), Err(OverLimit::Each(10)));
        assert_eq!(budget.spend(10, 10), Ok(()));
        assert_eq!(budget.check(6, 6), Err(OverLimit::Total(25)));
        assert_eq!(budget.spend(u64::MAX, 1), Err(OverLimit::Total(25)));
        assert_eq!(budget.spend(5, 5), Ok(()), "refused bytes are not counted");
        assert!(OverLimit::Each(1 << 30).to_string().contains("1024 MiB: --limit"));
    }
}
