//! Writes a tree as an image: first the superblock and the inodes, then the blocks of data.
//!
//! The same tree gives the same bytes. Memory holds the entries; contents are copied by the kernel where it can.

use std::{
    fs::File,
    io::{BufWriter, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
};

use anyhow::{Context, Result, ensure};
use rustix::{fs::copy_file_range, io::Errno};

use super::{
    directory,
    format::{BLOCK, BLOCK_BITS, MAGIC, SUPERBLOCK, SUPERBLOCK_BYTES, XATTR_HEADER, split_xattr},
    layout::{Layout, Located},
    tree::{Content, Kind, Node, NodeId, Tree},
};

/// Writes `tree` to the empty file `image`. `sources` are the files that have the contents.
///
/// # Errors
/// For a tree that the format cannot hold, a source that is too short, and a full disk.
pub(in crate::image) fn write(tree: &Tree, sources: &[File], image: &File) -> Result<()> {
    let time = tree.nodes.first().context("a tree has a topmost directory")?.mtime;
    let layout = Layout::of(tree, time)?;
    let writer = Writer { tree, sources, image, layout: &layout };
    image.set_len(u64::from(layout.blocks) << BLOCK_BITS).context("set the size of the image")?;
    writer.inodes(time)?;
    for placed in &layout.placed {
        writer.blocks(placed)?;
    }
    Ok(())
}

struct Writer<'a> {
    tree: &'a Tree,
    sources: &'a [File],
    image: &'a File,
    layout: &'a Layout,
}

impl Writer<'_> {
    fn inodes(&self, time: u64) -> Result<()> {
        let mut file = BufWriter::with_capacity(1 << 20, self.image);
        file.seek(SeekFrom::Start(SUPERBLOCK)).context("write the image")?;
        file.write_all(&self.superblock(time)?).context("write the superblock")?;
        let mut at = SUPERBLOCK + SUPERBLOCK_BYTES as u64;
        for (ordinal, placed) in self.layout.placed.iter().enumerate() {
            let node = self.node(placed.node)?;
            let gap = usize::try_from(placed.at - at).context("a gap is less than a block")?;
            file.write_all(&vec![0; gap]).context("write an inode")?;
            let mut bytes = Vec::new();
            inode(&mut bytes, node, placed, u32::try_from(ordinal + 1)?);
            xattrs(&mut bytes, node)?;
            if placed.inline {
                let whole = placed.size / BLOCK as u64 * BLOCK as u64;
                bytes.extend(self.part(placed, whole)?);
            }
            file.write_all(&bytes).context("write an inode")?;
            at = placed.at + bytes.len() as u64;
        }
        file.flush().context("write the inodes")
    }

    fn superblock(&self, time: u64) -> Result<[u8; SUPERBLOCK_BYTES]> {
        let root = self.layout.get(Tree::ROOT).context("a tree has a topmost directory")?;
        let mut block = [0; SUPERBLOCK_BYTES];
        let fields: [(usize, &[u8]); 6] = [
            (0, &MAGIC.to_le_bytes()),
            (12, &[BLOCK_BITS]),
            (14, &u16::try_from(root.number()).context("the root is the first inode")?.to_le_bytes()),
            (16, &(self.layout.placed.len() as u64).to_le_bytes()),
            (24, &time.to_le_bytes()),
            (36, &self.layout.blocks.to_le_bytes()),
        ];
        for (at, value) in fields {
            block[at..at + value.len()].copy_from_slice(value);
        }
        Ok(block)
    }

    /// The content of a node that is not a file's, or the end of a file's content from `from` on: less than a block.
    fn part(&self, placed: &Located, from: u64) -> Result<Vec<u8>> {
        let node = self.node(placed.node)?;
        let start = usize::try_from(from)?;
        let rest = |bytes: &[u8]| bytes.get(start..).map(<[u8]>::to_vec).context("a content is too short");
        match &node.kind {
            Kind::Directory(_) => rest(&self.directory(placed)?),
            Kind::Symlink(target) => rest(target),
            Kind::File(Content::Bytes(bytes)) => rest(bytes),
            Kind::File(Content::Extent { source, offset, size }) => {
                let mut bytes = vec![0; usize::try_from(size - from)?];
                let read = self.source(*source)?.read_exact_at(&mut bytes, offset + from);
                read.context("read the content of a file")?;
                Ok(bytes)
            }
        }
    }

    /// Writes the blocks of a node: all its content, or that before the inlined end.
    fn blocks(&self, placed: &Located) -> Result<()> {
        let block = BLOCK as u64;
        let size = if placed.inline { placed.size / block * block } else { placed.size };
        if size == 0 {
            return Ok(());
        }
        let to = u64::from(placed.block) << BLOCK_BITS;
        let bytes = match &self.node(placed.node)?.kind {
            Kind::File(Content::Extent { source, offset, .. }) => {
                return copy(self.source(*source)?, *offset, self.image, to, size);
            }
            Kind::File(Content::Bytes(bytes)) | Kind::Symlink(bytes) => bytes.clone(),
            Kind::Directory(_) => self.directory(placed)?,
        };
        let bytes = bytes.get(..usize::try_from(size)?).context("a content is too short")?;
        self.image.write_all_at(bytes, to).context("write the image")
    }

    fn directory(&self, placed: &Located) -> Result<Vec<u8>> {
        let entries = directory::entries(self.tree, placed.node, placed.parent);
        let content = directory::content(&entries, |node| {
            let number = self.layout.get(node).map_or(0, Located::number);
            (number, self.tree.nodes.get(node).map_or(0, Node::entry_type))
        });
        ensure!(content.len() as u64 == placed.size, "a directory has changed");
        Ok(content)
    }

    fn node(&self, id: NodeId) -> Result<&Node> {
        self.tree.nodes.get(id).context("an entry names no node")
    }

    fn source(&self, at: usize) -> Result<&File> {
        self.sources.get(at).context("a content lies in no source")
    }
}

fn inode(bytes: &mut Vec<u8>, node: &Node, placed: &Located, ordinal: u32) {
    let layout: u16 = if placed.inline { 2 } else { 0 };
    let xattr_count = match placed.xattrs {
        0 => 0,
        // At most 256 KiB, see the layout.
        length => 1 + (length - XATTR_HEADER) / 4,
    } as u16;
    bytes.extend((u16::from(placed.extended) | layout << 1).to_le_bytes());
    bytes.extend(xattr_count.to_le_bytes());
    bytes.extend(node.st_mode().to_le_bytes());
    if placed.extended {
        bytes.extend([0; 2]);
        bytes.extend(placed.size.to_le_bytes());
        bytes.extend(placed.block.to_le_bytes());
        bytes.extend(ordinal.to_le_bytes());
        bytes.extend(node.uid.to_le_bytes());
        bytes.extend(node.gid.to_le_bytes());
        bytes.extend(node.mtime.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(placed.links.to_le_bytes());
        bytes.extend([0; 16]);
    } else {
        // The values fit: the layout has looked.
        bytes.extend((placed.links as u16).to_le_bytes());
        bytes.extend((placed.size as u32).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(placed.block.to_le_bytes());
        bytes.extend(ordinal.to_le_bytes());
        bytes.extend((node.uid as u16).to_le_bytes());
        bytes.extend((node.gid as u16).to_le_bytes());
        bytes.extend([0; 4]);
    }
}

fn xattrs(bytes: &mut Vec<u8>, node: &Node) -> Result<()> {
    if node.xattrs.is_empty() {
        return Ok(());
    }
    bytes.extend([0; XATTR_HEADER as usize]);
    for (name, value) in &node.xattrs {
        let (prefix, rest) = split_xattr(name).context("the layout has looked at the name")?;
        bytes.extend([rest.len() as u8, prefix]);
        bytes.extend((value.len() as u16).to_le_bytes());
        bytes.extend(rest);
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    Ok(())
}

/// Copies `size` bytes within the kernel, or through a buffer where the file systems do not support that.
fn copy(from: &File, mut from_at: u64, to: &File, mut to_at: u64, size: u64) -> Result<()> {
    let mut rest = size;
    while rest > 0 {
        let count = usize::try_from(rest).unwrap_or(usize::MAX).min(1 << 30);
        match copy_file_range(from, Some(&mut from_at), to, Some(&mut to_at), count) {
            Ok(0) => anyhow::bail!("the content of a file is too short"),
            Ok(copied) => rest = rest.saturating_sub(copied as u64),
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                return copy_buffered(from, from_at, to, to_at, rest);
            }
            Err(error) => return Err(error).context("copy the content of a file"),
        }
    }
    Ok(())
}

fn copy_buffered(from: &File, from_at: u64, to: &File, to_at: u64, size: u64) -> Result<()> {
    let mut buffer = vec![0; 1 << 18];
    let mut done = 0;
    while done < size {
        let count = usize::try_from(size - done).unwrap_or(usize::MAX).min(buffer.len());
        let part = &mut buffer[..count];
        from.read_exact_at(part, from_at + done).context("read the content of a file")?;
        to.write_all_at(part, to_at + done).context("write the image")?;
        done += count as u64;
    }
    Ok(())
}
