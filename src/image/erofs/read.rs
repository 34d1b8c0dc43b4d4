//! Reads an erofs image as kiln's images are made (`mkfs.erofs` without compression): for roots that must be a tree or a
//! tar, on hosts whose kernel cannot mount one, and for users who may not.
//!
//! Before it: [`crate::image::Store`]. After it: [`crate::image::archive`]. The file is kiln's own, but a damaged one must be an
//! error, never a panic or a huge allocation.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use anyhow::{Context, Result, bail, ensure};

use super::format::{
    COMPACT, DIRENT, EXTENDED, MAGIC, PREFIXES, SLOT, SUPERBLOCK, XATTR_ENTRY, XATTR_HEADER,
};

/// The most bytes of a link or directory, which are read into memory whole: far more than any has.
const MOST_IN_MEMORY: u64 = 64 << 20;

/// An extended attribute: its whole name, its value.
pub(in crate::image) type Attribute = (Vec<u8>, Vec<u8>);

/// An image that is open.
#[derive(Debug)]
pub(in crate::image) struct Erofs {
    file: File,
    block_bits: u8,
    root: u64,
    meta: u64,
    xattrs: u64,
    time: (u64, u32),
}

/// A file of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::image) struct Inode {
    /// Its number.
    pub(in crate::image) number: u64,
    /// Kind and permission bits, as `st_mode`.
    pub(in crate::image) mode: u32,
    /// Owner.
    pub(in crate::image) uid: u32,
    /// Group.
    pub(in crate::image) gid: u32,
    /// How many names it has.
    pub(in crate::image) links: u32,
    /// Bytes.
    pub(in crate::image) size: u64,
    /// When it was changed: seconds and nanoseconds.
    pub(in crate::image) mtime: (u64, u32),
    /// For devices: the number, as the kernel encodes it in 32 bits.
    pub(in crate::image) device: u32,
    layout: Layout,
    /// Where the inode's own part ends: attributes and inlined data follow.
    after: u64,
    xattr_count: u16,
}

/// Where an inode's data lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// In blocks from here on.
    Plain(u64),
    /// Whole blocks from here on; the rest of the last one follows the inode.
    Inline(u64),
    /// In chunks of so many bits, each at an address in the inode; a hole without an address.
    Chunks { bits: u8, indexed: bool },
}

impl Erofs {
    /// Opens one.
    pub(in crate::image) fn open(path: &Path) -> Result<Self> {
        let context = || format!("read {}", path.display());
        let file = File::open(path).with_context(context)?;
        let mut block = [0; 128];
        file.read_exact_at(&mut block, SUPERBLOCK).with_context(context)?;
        ensure!(u32_at(&block, 0)? == MAGIC, "{} is not an erofs image", path.display());
        let block_bits = block[12];
        ensure!((9..=16).contains(&block_bits), "{}: blocks of 2^{block_bits} bytes", path.display());
        Ok(Self {
            file,
            block_bits,
            root: u16_at(&block, 14)?.into(),
            time: (u64_at(&block, 24)?, u32_at(&block, 32)?),
            meta: u64::from(u32_at(&block, 40)?) << block_bits,
            xattrs: u64::from(u32_at(&block, 44)?) << block_bits,
        })
    }

    /// The topmost directory.
    pub(in crate::image) fn root(&self) -> Result<Inode> {
        self.inode(self.root)
    }

    /// The inode of this number.
    pub(in crate::image) fn inode(&self, number: u64) -> Result<Inode> {
        let at = number.checked_mul(SLOT).and_then(|at| at.checked_add(self.meta));
        let at = at.with_context(|| format!("inode {number} has no address"))?;
        let mut bytes = [0; EXTENDED];
        // The last compact inode may be the end of the file.
        self.file.read_exact_at(&mut bytes[..COMPACT], at).with_context(|| format!("read inode {number}"))?;
        let format = u16_at(&bytes, 0)?;
        let extended = format & 1 == 1;
        if extended {
            self.file.read_exact_at(&mut bytes, at).with_context(|| format!("read inode {number}"))?;
        }
        let raw = u32_at(&bytes, 16)?;
        let block = u64::from(raw) << self.block_bits;
        let layout = match format >> 1 & 7 {
            0 => Layout::Plain(block),
            2 => Layout::Inline(block),
            4 => Layout::Chunks { bits: self.block_bits + (raw & 31) as u8, indexed: raw & 32 != 0 },
            other => bail!("inode {number} has the layout {other}: images are not compressed"),
        };
        let (size, uid, gid, links, mtime) = if extended {
            let time = (u64_at(&bytes, 32)?, u32_at(&bytes, 40)?);
            (u64_at(&bytes, 8)?, u32_at(&bytes, 24)?, u32_at(&bytes, 28)?, u32_at(&bytes, 44)?, time)
        } else {
            let (uid, gid) = (u16_at(&bytes, 24)?.into(), u16_at(&bytes, 26)?.into());
            (u32_at(&bytes, 8)?.into(), uid, gid, u16_at(&bytes, 6)?.into(), self.time)
        };
        let after = at + if extended { EXTENDED } else { COMPACT } as u64;
        let (mode, xattr_count) = (u16_at(&bytes, 4)?.into(), u16_at(&bytes, 2)?);
        Ok(Inode { number, mode, uid, gid, links, size, mtime, device: raw, layout, after, xattr_count })
    }

    /// Reads bytes of a file from `from` on; gives how many, nothing at its end.
    pub(in crate::image) fn read(&self, inode: &Inode, from: u64, buffer: &mut [u8]) -> Result<usize> {
        let rest = inode.size.saturating_sub(from);
        let count = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
        if count == 0 {
            return Ok(0);
        }
        let (place, run) = self.place(inode, from)?;
        let count = usize::try_from(run).unwrap_or(usize::MAX).min(count);
        match place {
            Some(at) => self
                .file
                .read_exact_at(&mut buffer[..count], at)
                .with_context(|| format!("read the data of inode {}", inode.number))?,
            None => buffer[..count].fill(0),
        }
        Ok(count)
    }

    /// The address of the byte `from` (`None` for a hole), and the number of bytes that follow it there.
    fn place(&self, inode: &Inode, from: u64) -> Result<(Option<u64>, u64)> {
        let rest = inode.size - from;
        match inode.layout {
            Layout::Plain(start) => Ok((Some(start + from), rest)),
            Layout::Inline(start) => {
                let whole = inode.size >> self.block_bits << self.block_bits;
                if from < whole {
                    return Ok((Some(start + from), whole - from));
                }
                Ok((Some(inode.after + inode.xattr_bytes() + from - whole), rest))
            }
            Layout::Chunks { bits, indexed } => {
                let (chunk, within) = (from >> bits, from & ((1 << bits) - 1));
                let unit = if indexed { 8 } else { 4 };
                let map = (inode.after + inode.xattr_bytes()).next_multiple_of(unit);
                let mut entry = [0; 4];
                self.file.read_exact_at(&mut entry, map + chunk * unit + if indexed { 4 } else { 0 })?;
                let block = u32::from_le_bytes(entry);
                let start = (block != u32::MAX).then(|| (u64::from(block) << self.block_bits) + within);
                Ok((start, (1 << bits) - within))
            }
        }
    }

    /// A file's whole content, where that is small by nature.
    pub(in crate::image) fn content(&self, inode: &Inode) -> Result<Vec<u8>> {
        ensure!(inode.size <= MOST_IN_MEMORY, "inode {} has {} bytes", inode.number, inode.size);
        let mut content = vec![0; usize::try_from(inode.size).context("it fits, see above")?];
        let mut done = 0;
        while done < content.len() {
            match self.read(inode, done as u64, &mut content[done..])? {
                0 => bail!("inode {} ends early", inode.number),
                count => done += count,
            }
        }
        Ok(content)
    }

    /// The names in a directory, in their order, and the number of the inode of each.
    pub(in crate::image) fn entries(&self, directory: &Inode) -> Result<Vec<(Vec<u8>, u64)>> {
        let content = self.content(directory)?;
        let mut entries = Vec::new();
        for block in content.chunks(1 << self.block_bits) {
            block_entries(block, &mut entries)
                .with_context(|| format!("read the directory of inode {}", directory.number))?;
        }
        entries.retain(|(name, _)| name != b"." && name != b"..");
        Ok(entries)
    }

    /// A file's extended attributes.
    pub(in crate::image) fn xattrs(&self, inode: &Inode) -> Result<Vec<Attribute>> {
        let bytes = inode.xattr_bytes();
        if bytes == 0 {
            return Ok(Vec::new());
        }
        let mut own = vec![0; usize::try_from(bytes).context("256 KiB at most")?];
        let context = || format!("read the attributes of inode {}", inode.number);
        self.file.read_exact_at(&mut own, inode.after).with_context(context)?;
        let mut found = Vec::new();
        let mut at = XATTR_HEADER as usize;
        for _ in 0..own[4] {
            let shared = self.xattrs + u64::from(u32_at(&own, at).with_context(context)?) * 4;
            // A name and a value, no more than a block together; the image may end before that.
            let mut entry = vec![0; XATTR_ENTRY + 255 + (1 << self.block_bits)];
            let count = self.file.read_at(&mut entry, shared).with_context(context)?;
            found.push(attribute(&entry[..count]).with_context(context)?.0);
            at += 4;
        }
        while at + XATTR_ENTRY <= own.len() && own[at..at + XATTR_ENTRY] != [0; XATTR_ENTRY] {
            let (one, length) = attribute(&own[at..]).with_context(context)?;
            found.push(one);
            at += length.next_multiple_of(4);
        }
        Ok(found)
    }
}

impl Inode {
    fn xattr_bytes(&self) -> u64 {
        match u64::from(self.xattr_count) {
            0 => 0,
            count => XATTR_HEADER + (count - 1) * 4,
        }
    }
}

fn block_entries(block: &[u8], entries: &mut Vec<(Vec<u8>, u64)>) -> Result<()> {
    let first = usize::from(u16_at(block, 8)?);
    ensure!(first % DIRENT == 0 && first <= block.len(), "its names begin at {first}");
    let names = |at: usize| u16_at(block, at * DIRENT + 8).map(usize::from);
    let count = first / DIRENT;
    for at in 0..count {
        let end = if at + 1 < count { names(at + 1)? } else { block.len() };
        let name = block.get(names(at)?..end).context("a name is outside of its block")?;
        // The last name ends with the block or at a zero byte.
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        ensure!(!name.is_empty() && !name.contains(&b'/'), "a name is empty or a path");
        entries.push((name.to_vec(), u64_at(block, at * DIRENT)?));
    }
    Ok(())
}

/// One attribute, and how many bytes it takes.
fn attribute(bytes: &[u8]) -> Result<(Attribute, usize)> {
    let head = bytes.get(..XATTR_ENTRY).context("it is cut off")?;
    let (name, value) = (usize::from(head[0]), usize::from(u16_at(head, 2)?));
    let prefix = PREFIXES.iter().find(|(number, _)| *number == head[1]);
    let (_, prefix) = prefix.with_context(|| format!("the prefix {} is not known", head[1]))?;
    let end = XATTR_ENTRY + name + value;
    let rest = bytes.get(XATTR_ENTRY..end).context("it is cut off")?;
    let (name, value) = rest.split_at(name);
    Ok((([prefix.as_bytes(), name].concat(), value.to_vec()), end))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.copied().context("the image is cut off")
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}
