//! `.kiln`, the directory of the cache in which all staging directories lie. A guest that writes straight into the cache can
//! put anything in its place.

use std::io::ErrorKind;

use anyhow::{Context, Result};

use super::open_cache::OpenCache;
use crate::{
    cache::dir::{BeneathDir, FileType, file_type, permissions},
    event::WarningKind,
    plan::STAGING,
};

/// The name of the directory.
pub(in crate::cache) const DIRECTORY: &[u8] = STAGING.as_bytes();
/// How often another process may put something else in its place before kiln gives up.
const ATTEMPTS: usize = 100;
/// The permissions that the owner of a directory must have.
const OWNERS: u32 = 0o700;

/// Opens the directory, and makes it if it is missing. A file or link in its place is removed, not followed.
pub(in crate::cache) fn make(cache: &OpenCache) -> Result<BeneathDir> {
    let root = &cache.root;
    for _ in 0..ATTEMPTS {
        let there = root.stat(DIRECTORY).context("look for .kiln in the cache")?;
        match there.map(|stat| file_type(&stat)) {
            Some(FileType::File | FileType::Symlink | FileType::Other) => {
                let text = "removes .kiln from the cache, since it is not a directory";
                cache.warn(WarningKind::ForeignEntry, text);
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

/// Gives the owner of the directory the permissions back that a guest has taken.
pub(in crate::cache) fn open_up(cache: &OpenCache) -> Result<()> {
    let there = cache.root.stat(DIRECTORY).context("look for .kiln in the cache")?;
    match there.filter(|stat| file_type(stat) == FileType::Directory).map(|stat| permissions(&stat)) {
        Some(mode) if mode & OWNERS != OWNERS => {
            cache.root.set_mode_of(DIRECTORY, mode | OWNERS).context("open .kiln in the cache")
        }
        Some(_) | None => Ok(()),
    }
}

/// The names of this home's staging directories begin so.
pub(in crate::cache) fn prefix(cache: &OpenCache) -> Result<String> {
    Ok(format!("{}-", cache.home.identity()?))
}
