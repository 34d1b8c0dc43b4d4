//! How much a guest may send: the bounds of one export.

/// Bounds of one export, over all packages together. A larger export is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Files, links and directories. Memory grows with it: some 55 bytes for each entry of the largest package.
    pub entries: u64,
    /// Bytes of the stream, headers and padding included.
    pub bytes: u64,
    /// Bytes of one extended header (long names, extended attributes); it is held in memory.
    pub header_bytes: u64,
}

impl Default for Limits {
    /// Two million entries (a Linux tree has 90 000), 64 GiB (more than the default scratch disk holds), and 1 MiB of
    /// header (Linux allows 64 KiB of names and 64 KiB for each value, ext4 a block for all).
    fn default() -> Self {
        Self { entries: 1 << 21, bytes: 64 << 30, header_bytes: 1 << 20 }
    }
}
