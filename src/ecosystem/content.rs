//! The verdict on the content of a file, and the access to a cache that a tool needs for it.

use std::{
    fs::File,
    io::{self, Read},
};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use sha2::Digest;

/// Files are read in pieces of this size.
const PIECE: usize = 256 << 10;
/// No file that holds a checksum is longer.
const CHECKSUM_FILE: u64 = 4096;

/// A directory of a cache, for reading.
pub trait Files {
    /// The regular file at a path below; `None` where there is none. Reading it does not count as a use, where that can be
    /// had.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn file(&self, path: &[u8]) -> io::Result<Option<File>>;

    /// The directory at a path below; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn directory(&self, path: &[u8]) -> io::Result<Option<Box<dyn Files>>>;

    /// The entries of the directory itself.
    ///
    /// # Errors
    /// When it cannot be listed.
    fn entries(&self) -> io::Result<Vec<(Vec<u8>, EntryType)>>;

    /// Whether a file is mostly holes: a small one may have no end for a reader.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn is_mostly_holes(&self, file: &File) -> Result<bool>;
}

/// The type of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryType {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, device, fifo or socket.
    Other,
}

/// The verdict on a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing says what it should hold.
    Unknown,
    /// It holds what it should.
    Right,
    /// It does not; in what way.
    Wrong(String),
}

impl Content {
    /// Compares the digest that `source` gives with that of the file.
    pub(super) fn compare(expected: &str, is: &str, source: &str) -> Self {
        if expected.eq_ignore_ascii_case(is) {
            Self::Right
        } else {
            Self::Wrong(format!("{source} says otherwise"))
        }
    }
}

/// The text of a small file.
pub(super) fn text(files: &dyn Files, path: &str) -> Result<Option<String>> {
    let Some(file) = files.file(path.as_bytes()).context("open it")? else { return Ok(None) };
    let mut text = Vec::new();
    file.take(CHECKSUM_FILE).read_to_end(&mut text).with_context(|| format!("read {path:?}"))?;
    Ok(String::from_utf8(text).ok())
}

/// The digest of all that can be read.
pub(super) fn hash<D: Digest>(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut hash = D::new();
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece)?;
        if length == 0 {
            return Ok(hash.finalize().to_vec());
        }
        hash.update(&piece[..length]);
    }
}

/// Two digits a byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}
