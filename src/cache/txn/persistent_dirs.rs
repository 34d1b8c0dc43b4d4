//! The directories that kiln makes for tools in a cache that a build may write: they go where nothing was put into them.

use std::io;

use anyhow::{Context, Result};

use super::open_cache::OpenCache;
use crate::{
    cache::dir::{BeneathDir, split},
    ecosystem::persistent_directories,
};

/// After writes that went straight through: removes those that have stayed empty, if nobody else uses the cache.
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

/// Removes from what is staged those that are empty and not in the cache; how many they were.
pub(in crate::cache) fn unstage(staged: &BeneathDir, cache: &BeneathDir) -> io::Result<u64> {
    let mut removed = 0;
    for path in persistent_directories() {
        if cache.dir(path.as_bytes())?.is_none() && remove_at(staged, path.as_bytes())? {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether an empty directory was there, and is gone.
fn remove_at(dir: &BeneathDir, path: &[u8]) -> io::Result<bool> {
    let (directory, name) = split(path);
    let Some(parent) = dir.dir(directory)? else { return Ok(false) };
    if parent.dir(name)?.is_none() {
        return Ok(false);
    }
    parent.remove_empty(name)?;
    Ok(parent.stat(name)?.is_none())
}
