//! Where the inodes of an image and their data lie. Pure.
//!
//! The inodes follow the superblock in the order of a walk, with their attributes and, where that saves room, with the data
//! that do not fill a block. Whole blocks of data come after all inodes.

use anyhow::{Context, Result, ensure};

use super::{
    directory,
    format::{
        BLOCK, COMPACT, EXTENDED, NAME_MAX, SLOT, SUPERBLOCK, SUPERBLOCK_BYTES, XATTR_ENTRY, XATTR_HEADER,
        split_xattr,
    },
    tree::{Kind, Node, NodeId, Tree},
};

/// A node in its place.
#[derive(Debug)]
pub(super) struct Located {
    /// The node.
    pub(super) node: NodeId,
    /// The directory that has its first name.
    pub(super) parent: NodeId,
    /// The address of its inode.
    pub(super) at: u64,
    /// Whether the inode has the long form.
    pub(super) extended: bool,
    /// The bytes of its attributes.
    pub(super) xattrs: u64,
    /// The bytes of its content.
    pub(super) size: u64,
    /// Whether the end of its content follows the inode.
    pub(super) inline: bool,
    /// The first of its blocks.
    pub(super) block: u32,
    /// How many names it has.
    pub(super) links: u32,
}

/// All nodes in their places.
#[derive(Debug)]
pub(super) struct Layout {
    /// In the order of their addresses.
    pub(super) placed: Vec<Located>,
    /// By node, where in `placed` it is.
    index: Vec<Option<usize>>,
    /// The end of the inodes.
    pub(super) inodes_end: u64,
    /// The blocks of the whole image.
    pub(super) blocks: u32,
}

impl Layout {
    /// The layout of a tree whose compact inodes have the time `time`.
    ///
    /// # Errors
    /// For a tree that the format cannot hold: names, attributes, a directory with two names, more than 16 TiB.
    pub(super) fn of(tree: &Tree, time: u64) -> Result<Self> {
        let mut layout =
            Self { placed: Vec::new(), index: vec![None; tree.nodes.len()], inodes_end: 0, blocks: 0 };
        layout.walk(tree)?;
        layout.place_inodes(tree, time)?;
        layout.place_blocks()?;
        Ok(layout)
    }

    /// The place of a node that has a name.
    pub(super) fn get(&self, node: NodeId) -> Option<&Located> {
        self.placed.get((*self.index.get(node)?)?)
    }

    /// Finds all nodes that have a name, and counts the names.
    fn walk(&mut self, tree: &Tree) -> Result<()> {
        let mut open = vec![(Tree::ROOT, Tree::ROOT)];
        while let Some((node, parent)) = open.pop() {
            let index = self.index.get_mut(node).context("an entry names no node")?;
            let entries = tree.entries(node);
            if let Some(placed) = index.and_then(|at| self.placed.get_mut(at)) {
                ensure!(entries.is_none(), "a directory has two names");
                placed.links += 1;
                continue;
            }
            *index = Some(self.placed.len());
            let below = entries.into_iter().flatten();
            let subdirectories = below.clone().filter(|(_, child)| tree.entries(**child).is_some()).count();
            let links = if entries.is_some() { 2 + u32::try_from(subdirectories)? } else { 1 };
            let size = match &tree.nodes.get(node).context("an entry names no node")?.kind {
                Kind::Directory(_) => directory::size(&directory::entries(tree, node, parent)),
                Kind::File(content) => content.size(),
                Kind::Symlink(target) => target.len() as u64,
            };
            self.placed.push(Located {
                node,
                parent,
                at: 0,
                extended: false,
                xattrs: 0,
                size,
                inline: false,
                block: 0,
                links,
            });
            for (name, child) in below.rev() {
                ensure!(
                    (1..=NAME_MAX).contains(&name.len()) && !name.contains(&b'/') && !name.contains(&0),
                    "{:?} is not a name",
                    String::from_utf8_lossy(name)
                );
                open.push((*child, node));
            }
        }
        Ok(())
    }

    fn place_inodes(&mut self, tree: &Tree, time: u64) -> Result<()> {
        let block = BLOCK as u64;
        let mut at = SUPERBLOCK + SUPERBLOCK_BYTES as u64;
        for placed in &mut self.placed {
            let node = tree.nodes.get(placed.node).context("an entry names no node")?;
            placed.xattrs = xattr_bytes(node)?;
            placed.extended = !is_compact(node, placed, time);
            let head = if placed.extended { EXTENDED } else { COMPACT } as u64 + placed.xattrs;
            let tail = placed.size % block;
            // Inode and inlined data lie in one block, as the kernel reads them.
            let gap = if at % block + head + tail > block { block - at % block } else { 0 };
            placed.inline = tail > 0 && head + tail <= block && gap + tail <= block;
            let gap = if placed.inline { gap } else { 0 };
            placed.at = at + gap;
            let tail = if placed.inline { tail } else { 0 };
            at = (placed.at + head + tail).next_multiple_of(SLOT);
        }
        self.inodes_end = at;
        Ok(())
    }

    fn place_blocks(&mut self) -> Result<()> {
        let block = BLOCK as u64;
        let mut next = self.inodes_end.div_ceil(block);
        for placed in &mut self.placed {
            placed.block = u32::try_from(next).context("an image has at most 2^32 blocks")?;
            let whole = if placed.inline { placed.size / block } else { placed.size.div_ceil(block) };
            next = next.checked_add(whole).context("an image has at most 2^32 blocks")?;
        }
        self.blocks = u32::try_from(next).context("an image has at most 2^32 blocks")?;
        Ok(())
    }
}

impl Located {
    /// The number of its inode.
    pub(super) fn number(&self) -> u64 {
        self.at / SLOT
    }
}

/// Whether the short form of an inode holds all of it.
fn is_compact(node: &Node, placed: &Located, time: u64) -> bool {
    node.mtime == time
        && u16::try_from(node.uid).is_ok()
        && u16::try_from(node.gid).is_ok()
        && u16::try_from(placed.links).is_ok()
        && u32::try_from(placed.size).is_ok()
}

fn xattr_bytes(node: &Node) -> Result<u64> {
    if node.xattrs.is_empty() {
        return Ok(0);
    }
    let mut bytes = XATTR_HEADER;
    for (name, value) in &node.xattrs {
        let text = || String::from_utf8_lossy(name);
        let (_, rest) =
            split_xattr(name).with_context(|| format!("the attribute {} has no known prefix", text()))?;
        ensure!(rest.len() <= NAME_MAX, "the name of the attribute {} is too long", text());
        ensure!(u16::try_from(value.len()).is_ok(), "the attribute {} is too long", text());
        bytes += ((XATTR_ENTRY + rest.len() + value.len()) as u64).next_multiple_of(4);
    }
    ensure!(bytes <= XATTR_HEADER + 4 * u64::from(u16::MAX - 1), "the attributes are longer than 256 KiB");
    Ok(bytes)
}
