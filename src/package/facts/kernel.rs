//! Versions of the Linux kernel: of kernels, and of the kernels that modules are made for.
//!
//! Only files below `boot` and the directories of modules are searched. Kernels are bzImage, gzip files, images with a gzip file
//! inside (arm64), unified kernel images and plain programs; modules are plain or compressed with gzip, xz or zstd.

mod content;
mod search;
mod version;

use std::io::{self, Read, Seek};

use self::{
    content::Content,
    search::{Hits, search},
    version::{MAX_VERSION, version},
};
use super::{path::is_below, source::Source};

const MODULE_DIRECTORIES: [&str; 2] = ["lib/modules", "usr/lib/modules"];
/// Bootable containers keep their kernel beside the modules.
const BOOT_DIRECTORY: &str = "boot";

/// The boot protocol of x86: a magic number, and an offset of the version in 16 bits, less 512.
const BOOT_MAGIC: &[u8] = b"HdrS";
const BOOT_MAGIC_AT: usize = 514;
const VERSION_OFFSET_AT: usize = 526;
const VERSION_BASE: usize = 0x200;
/// As far as the offset of the boot protocol can reach.
const BOOT_HEAD_BYTES: usize = VERSION_BASE + 0xffff + MAX_VERSION;

/// The versions in one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Versions {
    /// That of a kernel.
    pub(super) linux: Option<Box<str>>,
    /// That which a module is made for.
    pub(super) vermagic: Option<Box<str>>,
}

/// Searches a file; it is read once, or twice if it is compressed.
pub(super) fn examine(path: &[u8], source: &mut Source<'_, impl Read + Seek>) -> io::Result<Versions> {
    let is_module = MODULE_DIRECTORIES.iter().any(|directory| is_below(path, directory));
    if !is_module && !is_below(path, BOOT_DIRECTORY) {
        return Ok(Versions::default());
    }
    let Some(outer) = Content::of(source)? else { return Ok(Versions::default()) };
    let inner = outer.kernel(source)?;
    let head = inner.head(source, BOOT_HEAD_BYTES)?;
    let from_header = boot_header_version(&head);
    if from_header.is_some() && !is_module {
        return Ok(Versions { linux: from_header, vermagic: None });
    }
    let mut hits = search_content(&inner, source)?;
    let linux = match (from_header, &hits.gzip_at) {
        (Some(version), _) => Some(version),
        (None, Some(offset)) if *offset > 0 => match inner.gzip_inside(*offset) {
            Some(kernel) => search_content(&kernel, source)?.linux.or(hits.linux.take()),
            None => hits.linux.take(),
        },
        (None, _) => hits.linux.take(),
    };
    let vermagic = match is_module {
        true if outer == inner => hits.vermagic,
        true => search_content(&outer, source)?.vermagic,
        false => None,
    };
    Ok(Versions { linux, vermagic })
}

/// Searches a content. Damaged compressed data end it as the end of the file does.
fn search_content(content: &Content, source: &mut Source<'_, impl Read + Seek>) -> io::Result<Hits> {
    let mut hits = Hits::default();
    let result = content.open(source).and_then(|mut reader| search(&mut reader, &mut hits));
    content::unless_damaged(result)?;
    Ok(hits)
}

fn boot_header_version(head: &[u8]) -> Option<Box<str>> {
    head.get(BOOT_MAGIC_AT..)?.strip_prefix(BOOT_MAGIC)?;
    let offset = u16::from_le_bytes(*head.get(VERSION_OFFSET_AT..)?.first_chunk()?);
    let text = head.get(VERSION_BASE + usize::from(offset)..).filter(|_| offset != 0)?;
    version(text)
}
