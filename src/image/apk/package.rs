//! The parts of a package as the store has them: its control section, and the entries of its data.

use std::{
    fs::File,
    io::{BufReader, Read, Result},
    os::unix::fs::FileExt,
};

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use sha1::{Digest, Sha1};

use crate::apk::{
    PackageInfo,
    control::ControlSection,
    tar::{Entry, EntryType, entries, invalid},
    ustar::CHECKSUM_RECORD,
};

/// A script of a package, or what apk runs when a directory changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    /// Its header.
    pub(super) entry: Entry,
    /// Its text.
    pub(super) content: Vec<u8>,
}

/// A control section.
#[derive(Debug, Clone)]
pub(super) struct Control {
    /// What the package says of itself.
    pub(super) info: PackageInfo,
    /// All executable entries, in their order.
    pub(super) scripts: Vec<Script>,
}

/// A package whose control section and data were verified.
#[derive(Debug)]
pub(super) struct Package {
    /// The control section.
    pub(super) control: Control,
    /// The data: a tar.
    pub(super) data: File,
    /// Its entries.
    pub(super) entries: Vec<Entry>,
}

impl Control {
    /// Reads the tar of a control section.
    ///
    /// # Errors
    /// As [`ControlSection::read`].
    pub(super) fn read(tar: &[u8]) -> Result<Self> {
        let ControlSection { info, mtime: _, others } = ControlSection::read(tar)?;
        let is_script =
            |(entry, _): &(Entry, &[u8])| entry.kind == EntryType::File && entry.mode & 0o555 == 0o555;
        let script = |(entry, content): (Entry, &[u8])| Script { entry, content: content.to_vec() };
        let scripts = others.into_iter().filter(is_script).map(script).collect();
        Ok(Self { info, scripts })
    }
}

/// Reads the entries of a data section.
pub(super) fn data_entries(data: &File, length: u64) -> Result<Vec<Entry>> {
    // Headers are far apart: most bytes between them are skipped.
    entries(&mut BufReader::with_capacity(4096, data), length)
}

/// The SHA-1 that an entry's header has of its content or target.
///
/// # Errors
/// `InvalidData` for one of another form.
pub(super) fn checksum(entry: &Entry) -> Result<Option<[u8; 20]>> {
    let Some(text) = entry.records.get(CHECKSUM_RECORD.as_bytes()) else { return Ok(None) };
    let digest = match text.strip_prefix(b"Q1") {
        Some(base64) => BASE64.decode(base64).ok(),
        None => HEXLOWER_PERMISSIVE.decode(text).ok(),
    };
    let digest = digest.and_then(|digest| digest.try_into().ok());
    digest.map(Some).ok_or_else(|| invalid(&format!("{}: its checksum is malformed", shown(&entry.path))))
}

/// Compares the content of each file with the checksum in its header.
///
/// # Errors
/// `InvalidData` that names the first file with another content.
pub(super) fn verify_files(data: &File, entries: &[Entry]) -> Result<()> {
    let mut buffer = vec![0; 1 << 17];
    for entry in entries {
        let Some(wanted) = checksum(entry)? else { continue };
        let mut hash = Sha1::new();
        match entry.kind {
            EntryType::File => {
                let mut done = 0;
                while done < entry.size {
                    let count = usize::try_from(entry.size - done).unwrap_or(usize::MAX).min(buffer.len());
                    let part = buffer.get_mut(..count).unwrap_or_default();
                    data.read_exact_at(part, entry.offset + done)?;
                    hash.update(part);
                    done += count as u64;
                }
            }
            EntryType::Symlink => hash.update(&entry.target),
            EntryType::HardLink | EntryType::Directory | EntryType::Other(_) => continue,
        }
        if <[u8; 20]>::from(hash.finalize()) != wanted {
            return Err(invalid(&format!("the checksum of its file {} is wrong", shown(&entry.path))));
        }
    }
    Ok(())
}

/// A path for a message: without control characters.
pub(in crate::image) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).escape_debug().to_string()
}

/// Reads all of a small file of the store.
pub(super) fn read_all(file: &mut File, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.by_ref().take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(invalid(&format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}
