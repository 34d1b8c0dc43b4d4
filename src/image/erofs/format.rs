//! Numbers of the format that reader and writer share.

/// The offset of the superblock, and its magic number.
pub(super) const SUPERBLOCK: u64 = 1024;
pub(super) const MAGIC: u32 = 0xE0F5_E1E2;
/// The unit of inode numbers, and the sizes of the two kinds of inodes.
pub(super) const SLOT: u64 = 32;
pub(super) const COMPACT: usize = 32;
pub(super) const EXTENDED: usize = 64;
/// A directory's entry without its name.
pub(super) const DIRENT: usize = 12;
/// The header before an inode's attributes, and that before each of them.
pub(super) const XATTR_HEADER: u64 = 12;
pub(super) const XATTR_ENTRY: usize = 4;
/// The prefixes of attributes' names, by their number.
pub(super) const PREFIXES: [(u8, &str); 5] = [
    (1, "user."),
    (2, "system.posix_acl_access"),
    (3, "system.posix_acl_default"),
    (4, "trusted."),
    (6, "security."),
];
/// The size of a block in images that are written here, and its logarithm.
pub(super) const BLOCK: usize = 1 << BLOCK_BITS;
pub(super) const BLOCK_BITS: u8 = 12;
/// The size of the superblock.
pub(super) const SUPERBLOCK_BYTES: usize = 128;
/// The longest name, as Linux has it.
pub(super) const NAME_MAX: usize = 255;

/// The number of a name's prefix, and the rest of the name.
pub(super) fn split_xattr(name: &[u8]) -> Option<(u8, &[u8])> {
    PREFIXES.iter().find_map(|(number, prefix)| {
        let rest = name.strip_prefix(prefix.as_bytes())?;
        // A prefix that does not end with a dot is the whole name.
        (rest.is_empty() != prefix.ends_with('.')).then_some((*number, rest))
    })
}
