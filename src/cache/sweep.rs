//! Removes the files of caches that are gone from kiln's home: leases, empty journals, summaries, and the directories of
//! builds that found such a cache in use.
//!
//! A cache is gone when the path of its last lease leads to nothing, or to another directory. If it has been moved, only its
//! summary is lost: a journal with records stays.

use std::{
    ffi::OsString,
    fs,
    io::{self, ErrorKind},
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    dir::lock::LockMode,
    lease::PRIVATE,
    lease_table::{LEASES, LeaseTable},
    summary::SUMMARIES,
    txn::journal::JOURNALS,
    writers,
};
use crate::{home::Home, process};

/// Forgets caches that are gone; returns how many. It stats each known cache.
pub fn sweep(home: &Home) -> Result<usize> {
    let leases = home.dir(LEASES)?;
    let mut swept = 0;
    for key in names(&leases)? {
        if is_gone(&leases.join(&key), &key) && forget(home, &key)? {
            swept += 1;
        }
    }
    Ok(swept)
}

/// Removes the directories of builds that found a cache in use that is gone by now. Those in use stay. Returns the removed
/// ones.
pub fn sweep_private(home: &Home) -> Result<Vec<PathBuf>> {
    let (all, leases) = (home.dir(PRIVATE)?, home.dir(LEASES)?);
    let mut removed = Vec::new();
    for key in names(&all)? {
        let own = all.join(&key);
        if leases.join(&key).exists() {
            continue;
        }
        for number in names(&own)? {
            let directory = own.join(number);
            let Some(_lock) = LeaseTable::open(home, &directory)?.try_lock(LockMode::Exclusive)? else {
                continue;
            };
            process::remove(&directory).with_context(|| format!("remove {}", directory.display()))?;
            removed.push(directory);
        }
        // best effort: it is not empty if one of its directories is in use.
        let _ = fs::remove_dir(own);
    }
    Ok(removed)
}

pub(super) fn names(directory: &Path) -> Result<Vec<String>> {
    let doing = || format!("read {}", directory.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).with_context(doing)? {
        names.push(entry.with_context(doing)?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// Whether the cache of a lease is certainly no longer at its path.
pub(super) fn is_gone(lease: &Path, key: &str) -> bool {
    let Ok(bytes) = fs::read(lease.join("path")) else { return false };
    match fs::metadata(PathBuf::from(OsString::from_vec(bytes))) {
        Ok(there) => format!("{:x}-{:x}", there.dev(), there.ino()) != key,
        Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

/// Forgets a cache, unless it has a lease or its journal is not empty.
pub(super) fn forget(home: &Home, key: &str) -> Result<bool> {
    let table = LeaseTable::named(home, key)?;
    let Some(_lock) = table.try_lock(LockMode::Exclusive)? else { return Ok(false) };
    let journal = home.root().join(JOURNALS).join(key);
    match fs::remove_dir(&journal) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => return Ok(false),
        result => gone(result).with_context(|| format!("remove {}", journal.display()))?,
    }
    home.remove(SUMMARIES, key)?;
    pass_on_writers(home, key)?;
    // Last, with its locks: a process that waits for one of them finds that the file is gone, and opens it again.
    table.remove()?;
    Ok(true)
}

/// If the cache is still at its path, with another device number, passes on the notes of its writers.
fn pass_on_writers(home: &Home, key: &str) -> Result<()> {
    let old = home.dir(LEASES)?.join(key);
    let Ok(bytes) = fs::read(old.join("path")) else { return Ok(()) };
    let cache = PathBuf::from(OsString::from_vec(bytes));
    let inode = |there: fs::Metadata| format!("{:x}", there.ino());
    let is_same = fs::metadata(&cache).is_ok_and(|there| key.ends_with(&format!("-{}", inode(there))));
    if is_same { writers::pass_on(&old, &cache, &LeaseTable::open(home, &cache)?) } else { Ok(()) }
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
