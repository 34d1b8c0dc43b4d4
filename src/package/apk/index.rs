//! The index of the directory that packages are published to: `APKINDEX.tar.gz`.
//!
//! Builds that end at once take turns: the index is read, merged and renamed under a lock of its directory.

use std::{
    fs::File,
    io::{BufReader, ErrorKind, Seek, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    apk::{
        Index, IndexArchive, SigningKey,
        section::{self, INDEX_MAX},
        ustar,
    },
    exit::Failure,
    package::{
        artifact::IndexFile,
        out_dir::unwritable,
        staged_file::{Directory, Staged},
    },
};

/// The name of the file.
pub(super) const FILE: &str = "APKINDEX.tar.gz";

/// The entry with the records.
const RECORDS: &[u8] = b"APKINDEX";

/// Bytes of a block of tar.
const BLOCK: usize = ustar::BLOCK;

/// The records of the index in `directory`; empty without one.
pub(super) fn read(directory: &Path) -> Result<String> {
    let path = directory.join(FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error).with_context(|| format!("open {}", path.display())),
    };
    let unusable = |why: String| {
        let what = format!("the index {}: {why}", path.display());
        Failure::host(what, "make it again with kiln index, or move it away: the next build makes a new one")
    };
    let head = section::head(&mut BufReader::new(file), INDEX_MAX);
    let head = head.map_err(|error| unusable(error.to_string()))?;
    let records =
        entry(&head.main.content, RECORDS).ok_or_else(|| unusable("it has no entry APKINDEX".into()))?;
    Ok(String::from_utf8(records.to_vec()).map_err(|_| unusable("it is not UTF-8".into()))?)
}

/// The content of an entry of a plain tar in memory.
fn entry<'a>(mut tar: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    loop {
        let (block, rest) = tar.split_at_checked(BLOCK)?;
        let header = tar::Header::from_byte_slice(block);
        let size = usize::try_from(header.entry_size().ok()?).ok()?;
        let (content, _) = rest.split_at_checked(size)?;
        if *header.path_bytes() == *name {
            return Some(content);
        }
        tar = rest.get(size.checked_next_multiple_of(BLOCK)?..)?;
    }
}

/// An index that is ready to be published.
pub(super) struct NewIndex {
    staged: Staged,
    path: PathBuf,
    bytes: u64,
    packages: usize,
}

impl NewIndex {
    /// Merges records into the index of a directory. The caller holds the directory's lock until the index is published.
    pub(super) fn merge(
        out: &Directory,
        out_dir: &Path,
        records: &str,
        key: Option<&SigningKey>,
    ) -> Result<Self> {
        let path = out_dir.join(FILE);
        let old = read(out_dir)?;
        let parse = |text| Index::parse(text).with_context(|| format!("read the index {}", path.display()));
        let mut index = parse(old.as_str())?;
        index.merge(&parse(records)?);
        // melange leaves the description of the repository empty.
        let bytes = IndexArchive::new(index.to_string(), String::new())?.file(key)?;
        let write = || {
            let staged = out.stage()?;
            let mut file = staged.file();
            file.write_all(&bytes)?;
            file.rewind()?;
            file.sync_all()?;
            Ok(staged)
        };
        let staged = write().map_err(|error| unwritable(&path, &error))?;
        Ok(Self { staged, bytes: bytes.len() as u64, packages: index.records.len(), path })
    }

    /// Gives the index its name.
    pub(super) fn publish(self) -> Result<IndexFile> {
        let Self { staged, path, bytes, packages } = self;
        staged.publish(FILE).map_err(|error| unwritable(&path, &error))?;
        Ok(IndexFile { path, bytes, packages })
    }
}
