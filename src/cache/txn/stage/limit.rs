//! How much one build may add to a cache, and how deep: a guest's stream is bounded.

/// The most names in a path of the cache: a merge holds two descriptors for each level.
pub(in crate::cache) const MAX_DEPTH: usize = 128;
/// The length of a path that is too long, as the kernel counts (PATH_MAX, with its NUL).
const MAX_PATH: usize = 4096;

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

/// Why a path is too long or too deep for a commit, an import and an export; `None` if it is not.
pub(in crate::cache) fn too_deep(path: &[u8]) -> Option<String> {
    if path.len() >= MAX_PATH {
        return Some(format!("its path is longer than {} bytes", MAX_PATH - 1));
    }
    let depth = path.split(|&byte| byte == b'/').count();
    (depth > MAX_DEPTH).then(|| format!("it lies deeper than {MAX_DEPTH} directories"))
}
