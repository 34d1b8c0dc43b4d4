//! `.kiln`, the directory of the cache in which all staging directories lie. A guest that writes straight into the cache can
//! put anything in its place.

use std::io::ErrorKind;

use anyhow::{Context, Result};

use super::open_cache::OpenCache;
use crate::{
    cache::dir::{BeneathDir, FileType, permissions, what},
    plan::STAGING,
};

/// The directory of the cache for what is on its way into it.
pub(in crate::cache) const DIRECTORY: &[u8] = STAGING.as_bytes();
/// So often somebody may put something else in the place of the directory before it is given up.
const ATTEMPTS: usize = 100;
/// FileType its owner must be able to do with a directory.
const OWNERS: u32 = 0o700;

/// The directory, made if it is missing, or something else: that is removed, never followed.
pub(in crate::cache) fn make(cache: &OpenCache) -> Result<BeneathDir> {
    let root = &cache.root;
    for _ in 0..ATTEMPTS {
        let there = root.stat(DIRECTORY).context("look for .kiln in the cache")?;
        match there.map(|stat| what(&stat)) {
            Some(FileType::File | FileType::Symlink | FileType::Other) => {
                tracing::warn!("removes .kiln from the cache, which is no directory of kiln's");
                match root.unlink(DIRECTORY) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(error).context("remove what is in the way of .kiln in the cache");
                    }
                    Ok(()) | Err(_) => {}
                }
            }
            None | Some(FileType::Directory) => {
                open_up(cache)?;
                match root.make(DIRECTORY) {
                    Err(error) if error.kind() == ErrorKind::NotADirectory => {}
                    result => return result.context("make .kiln in the cache"),
                }
            }
        }
    }
    anyhow::bail!("something else is put in the place of .kiln all the time")
}

/// Gives its owner back what a guest has taken: to read and to write the directory.
pub(in crate::cache) fn open_up(cache: &OpenCache) -> Result<()> {
    let there = cache.root.stat(DIRECTORY).context("look for .kiln in the cache")?;
    match there.filter(|stat| what(stat) == FileType::Directory).map(|stat| permissions(&stat)) {
        Some(mode) if mode & OWNERS != OWNERS => {
            cache.root.set_mode_of(DIRECTORY, mode | OWNERS).context("open .kiln in the cache")
        }
        Some(_) | None => Ok(()),
    }
}

/// How the names of this home's staging directories begin.
pub(in crate::cache) fn prefix(cache: &OpenCache) -> Result<String> {
    Ok(format!("{}-", cache.home.identity()?))
}
