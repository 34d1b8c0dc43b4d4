//! The directories that kiln makes for tools in a cache that a build may write. They are removed if they stay empty.

use std::io;

use anyhow::{Context, Result};

use super::open_cache::OpenCache;
use crate::{
    cache::dir::{BeneathDir, split},
    ecosystem::persistent_directories,
};

/// After writes that went straight through: removes the directories that have stayed empty, if there is no other lease.
///
/// # Errors
/// A cache that cannot be written.
pub fn remove_unused(cache: &OpenCache) -> Result<()> {
    let remove =
        || persistent_directories().try_for_each(|path| remove_at(&cache.root, path.as_bytes()).map(drop));
    cache.alone(
        |alone| {
            if alone { remove().context("remove empty directories of the cache") } else { Ok(()) }
        },
    )
}

/// Removes those from a staged tree that are empty, and that the cache does not have. Returns how many these were.
pub(in crate::cache) fn unstage(staged: &BeneathDir, cache: &BeneathDir) -> io::Result<u64> {
    let mut removed = 0;
    for path in persistent_directories() {
        if cache.dir(path.as_bytes())?.is_none() && remove_at(staged, path.as_bytes())? {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes an empty directory; false if there was none.
fn remove_at(dir: &BeneathDir, path: &[u8]) -> io::Result<bool> {
    let (directory, name) = split(path);
    let Some(parent) = dir.dir(directory)? else { return Ok(false) };
    if parent.dir(name)?.is_none() {
        return Ok(false);
    }
    parent.remove_empty(name)?;
    Ok(parent.stat(name)?.is_none())
}
