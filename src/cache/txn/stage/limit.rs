//! How much one build may add: what comes out of a guest is bounded before it is taken.

/// How much a build may add to the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitLimit {
    /// Bytes of files.
    pub bytes: u64,
    /// Files, links, directories and deletions.
    pub entries: u64,
}

impl Default for CommitLimit {
    /// 16 GiB and a million entries: ten times the largest dependency trees.
    fn default() -> Self {
        Self { bytes: 16 << 30, entries: 1 << 20 }
    }
}
