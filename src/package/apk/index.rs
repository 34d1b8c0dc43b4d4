//! The index of the directory that packages are published to: `APKINDEX.tar.gz`.
//!
//! Builds that end at once take turns: the index is read, merged and renamed under a lock of its directory.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Read, Seek, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    apk::{Index, IndexArchive, SigningKey, section::INDEX_MAX},
    exit::Failure,
    input,
    package::{
        artifact::IndexFile,
        out_dir::unwritable,
        staged_file::{Directory, Staged},
    },
};

/// The name of the file.
pub(super) const FILE: &str = "APKINDEX.tar.gz";

/// The bytes of an index; `None` if there is none.
///
/// # Errors
/// A host failure for one that cannot be read.
pub(crate) fn load(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // What is cut off here is no index.
        input::open_file(path)?.take(INDEX_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(path, &error)),
    }
}

/// Whether packages can be added to the index of a directory, if it has one: checked before a build, whose result would be lost.
///
/// # Errors
/// A host failure for an index that cannot be read or is damaged.
pub fn check(directory: &Path) -> Result<(), Failure> {
    let path = directory.join(FILE);
    let Some(bytes) = load(&path)? else { return Ok(()) };
    let archive = IndexArchive::read(&bytes).map_err(|error| unusable(&path, &error))?;
    Index::parse(&archive.records).map_err(|error| unusable(&path, &error))?;
    Ok(())
}

/// The failure for an index that cannot be used.
pub(crate) fn unusable(path: &Path, why: &dyn Display) -> Failure {
    let what = format!("the index {}: {why}", path.display());
    let way_out = "Make it again of its packages, kiln index -o FILE APK…, or move it away: the next build makes a new one.";
    Failure::host(what, way_out)
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
        let unusable = |why: &dyn Display| unusable(&path, why);
        let old = load(&path)?;
        let old = old.as_deref().map(IndexArchive::read).transpose().map_err(|error| unusable(&error))?;
        let (old, description) = old.map(|old| (old.records, old.description)).unwrap_or_default();
        let mut index = Index::parse(&old).map_err(|error| unusable(&error))?;
        index.merge(&Index::parse(records).context("read the records of the packages")?);
        let bytes = IndexArchive::new(index.to_string(), description)?.file(key)?;
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
