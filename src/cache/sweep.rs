//! FileType kiln's home keeps of caches that are gone: leases, empty journals, summaries, and what builds that came second had
//! of them for themselves.
//!
//! A cache is gone when there is nothing at the path of its last lease, or another directory. It may have been moved: then
//! its journal says so as long as something in it is to be done, and no more than a summary is lost.

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

/// Forgets caches that are gone; says how many. Costs a look at each cache that is known.
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

/// Removes what builds that came second had of caches that are gone, where no build has it now; says what.
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
        // best effort: one that is in use is still there.
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

/// Whether the cache that a lease was for is certainly no longer where it was.
pub(super) fn is_gone(lease: &Path, key: &str) -> bool {
    let Ok(bytes) = fs::read(lease.join("path")) else { return false };
    match fs::metadata(PathBuf::from(OsString::from_vec(bytes))) {
        Ok(there) => format!("{:x}-{:x}", there.dev(), there.ino()) != key,
        Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

/// Forgets one, unless somebody has a lease of it or its journal is not empty.
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
    // Last, with the locks in it: who waits for them finds that they are no longer the ones.
    table.remove()?;
    Ok(true)
}

/// The cache may be where it was, with another number of its device.
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
