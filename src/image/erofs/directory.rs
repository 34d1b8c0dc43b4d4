//! The content of a directory: blocks of entries, each with the names after the entries.

use super::{
    format::{BLOCK, DIRENT},
    tree::{NodeId, Tree},
};

/// An entry: its name, and the node that it names.
pub(super) type Entry<'t> = (&'t [u8], NodeId);

/// The entries of a directory with the two that each has, in the order in which the kernel searches them.
pub(super) fn entries(tree: &Tree, node: NodeId, parent: NodeId) -> Vec<Entry<'_>> {
    let own = tree.entries(node).into_iter().flatten().map(|(name, child)| (name.as_slice(), *child));
    let mut entries: Vec<Entry<'_>> = own.chain([(&b"."[..], node), (&b".."[..], parent)]).collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    entries
}

/// How many bytes the entries take.
pub(super) fn size(entries: &[Entry<'_>]) -> u64 {
    let blocks = blocks(entries);
    let last = blocks.last().map_or(0, |block| used(block));
    (blocks.len().saturating_sub(1) * BLOCK + last) as u64
}

/// The bytes of the entries. `inode` gives the number of a node's inode and its type.
pub(super) fn content(entries: &[Entry<'_>], inode: impl Fn(NodeId) -> (u64, u8)) -> Vec<u8> {
    let mut bytes = Vec::new();
    for block in blocks(entries) {
        // The block before ends with zeros.
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        let mut name_at = block.len() * DIRENT;
        for (name, node) in block {
            let (number, kind) = inode(*node);
            bytes.extend(number.to_le_bytes());
            // A block has 4096 bytes.
            bytes.extend((name_at as u16).to_le_bytes());
            bytes.extend([kind, 0]);
            name_at += name.len();
        }
        block.iter().for_each(|(name, _)| bytes.extend(*name));
    }
    bytes
}

/// The entries by the block in which they are.
fn blocks<'e, 't>(entries: &'e [Entry<'t>]) -> Vec<&'e [Entry<'t>]> {
    let (mut blocks, mut first, mut bytes) = (Vec::new(), 0, 0);
    for (at, (name, _)) in entries.iter().enumerate() {
        let more = DIRENT + name.len();
        if bytes + more > BLOCK {
            blocks.extend(entries.get(first..at));
            (first, bytes) = (at, 0);
        }
        bytes += more;
    }
    blocks.extend(entries.get(first..));
    blocks
}

fn used(block: &[Entry<'_>]) -> usize {
    block.iter().map(|(name, _)| DIRENT + name.len()).sum()
}
