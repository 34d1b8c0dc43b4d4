//! How much one build may add, and how deep: what comes out of a guest is bounded before it is taken.

/// No path of the cache is deeper: a merge holds two descriptors for each level.
pub(in crate::cache) const MAX_DEPTH: usize = 128;
/// No path of the cache is longer, as the kernel counts (PATH_MAX, with its NUL).
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

/// Why no commit, import or export takes something that lies where it lies.
pub(in crate::cache) fn too_deep(path: &[u8]) -> Option<String> {
    if path.len() >= MAX_PATH {
        return Some(format!("its path is longer than {} bytes", MAX_PATH - 1));
    }
    let depth = path.split(|&byte| byte == b'/').count();
    (depth > MAX_DEPTH).then(|| format!("it lies deeper than {MAX_DEPTH} directories"))
}
