//! Counts the writes that are discarded with an overlay above the cache, for the report.
//!
//! The stream comes from a guest and is hostile: numbers and names are bounded, and only entries beneath the cache are
//! opened. A guest that lies in it only misreports its own discarded writes.

use std::{
    ffi::OsStr,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use anyhow::{Context, Result};
use sha1::{Digest, Sha1};

use super::{
    dir::{BeneathDir, FileType, file_type, split},
    txn::{category::category, usage_delta::Amounts},
};
use crate::{
    ecosystem,
    event::Amount,
    package::{self, Entry, Kind, Limits, Reader},
};

/// The attribute for the size of a file, in a stream without content.
const SIZE: &[u8] = kiln_protocol::SIZE.as_bytes();

/// The attribute for its digest.
const DIGEST: &[u8] = kiln_protocol::DIGEST.as_bytes();

/// The most bytes of the cache that are read to compare digests.
const MOST_COMPARED: u64 = 64 << 20;

/// More entries are not counted.
const ENTRIES: u64 = 1 << 20;
/// Each of them has a header, and an extended one.
const BYTES: u64 = ENTRIES * 2048;
/// The most bytes of one extended header.
const HEADER_BYTES: u64 = 256 << 10;

/// No file counts for more: the largest number that all readers of JSON tell apart.
const MOST: u64 = 1 << 53;

/// More directories are not named.
const DIRECTORIES: usize = 64;
/// The longest name of one: more than a file system has.
const NAME: usize = 255;

/// The writes that were discarded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Discarded {
    /// Files and links that a commit would have kept, by category.
    pub amounts: Amounts,
    /// Whether there were more than could be counted.
    pub more: bool,
}

/// Counts the entries of a stream of names and sizes; `directory` is the cache below the overlay.
///
/// # Errors
/// When it is no such stream, or the cache cannot be read.
pub fn discarded(directory: &Path, stream: impl Read) -> Result<Discarded> {
    let dir = BeneathDir::open(directory).with_context(|| format!("open {}", directory.display()))?;
    let mut cache = Below { dir, left: MOST_COMPARED };
    let mut reader = Reader::new(
        stream,
        Limits { entries: ENTRIES.saturating_add(1), bytes: BYTES, header_bytes: HEADER_BYTES },
    );
    let (mut found, mut entries) = (Discarded::default(), 0);
    while let Some(entry) = reader.next_entry()? {
        entries += 1;
        if entries > ENTRIES {
            found.more = true;
            break;
        }
        if let Some(amount) = amount(&mut cache, &entry)? {
            found.add(&entry.path, amount);
        }
    }
    Ok(found)
}

impl Discarded {
    fn add(&mut self, path: &[u8], amount: Amount) {
        let kind = category(path, false);
        if self.amounts.len() >= DIRECTORIES && !self.amounts.contains_key(&kind) {
            self.more = true;
            return;
        }
        let sum = self.amounts.entry(kind).or_default();
        *sum = sum.plus(amount);
    }

    /// All together.
    pub fn sum(&self) -> Amount {
        self.amounts.values().fold(Amount::default(), |sum, amount| sum.plus(*amount))
    }
}

/// The amount that an entry counts for, if a commit would keep it.
fn amount(cache: &mut Below, entry: &Entry) -> Result<Option<Amount>> {
    let Entry { path, kind, .. } = entry;
    let is_named = package::check_path(path).is_ok() && category(path, false).len() <= NAME;
    if !is_named || ecosystem::kind(Path::new(OsStr::from_bytes(path))) != ecosystem::Kind::Kept {
        return Ok(None);
    }
    let bytes = match kind {
        Kind::File { .. } => {
            let size = attribute(entry, SIZE)
                .and_then(|value| str::from_utf8(value).ok()?.parse().ok())
                .unwrap_or(0);
            if cache.holds(entry, size)? {
                return Ok(None);
            }
            size
        }
        Kind::Symlink { target } => target.len() as u64,
        Kind::Directory | Kind::HardLink { .. } | Kind::Fifo | Kind::Whiteout => return Ok(None),
    };
    Ok(Some(Amount { entries: 1, bytes: bytes.min(MOST) }))
}

fn attribute<'e>(entry: &'e Entry, name: &[u8]) -> Option<&'e [u8]> {
    entry.xattrs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
}

/// The cache below the overlay.
struct Below {
    dir: BeneathDir,
    /// How many bytes of it may still be read.
    left: u64,
}

impl Below {
    /// Whether the cache has the file with its size and its time, or its content: then the overlay only copied it up.
    fn holds(&mut self, entry: &Entry, size: u64) -> Result<bool> {
        let (directory, name) = split(&entry.path);
        let Some(dir) = self.dir.dir(directory)? else { return Ok(false) };
        let found = dir.stat(name)?.filter(|stat| file_type(stat) == FileType::File);
        let Some(stat) = found.filter(|stat| u64::try_from(stat.st_size) == Ok(size)) else {
            return Ok(false);
        };
        let has_its_time =
            (stat.st_mtime, stat.st_mtime_nsec) == (entry.mtime.seconds, i64::from(entry.mtime.nanos));
        match (attribute(entry, DIGEST), self.left.checked_sub(size)) {
            _ if has_its_time => Ok(true),
            (Some(expected), Some(left)) => {
                self.left = left;
                let file = dir.file_unused(name)?.map(|file| file.take(size));
                Ok(file.map(digest).transpose()?.is_some_and(|digest| digest == expected))
            }
            (None, _) | (_, None) => Ok(false),
        }
    }
}

fn digest(mut file: impl Read) -> io::Result<Vec<u8>> {
    let (mut hash, mut piece) = (Sha1::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hash.finalize().to_vec()),
            count => hash.update(&piece[..count]),
        }
    }
}
