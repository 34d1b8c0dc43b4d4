//! FileType lies at `.kiln`, or in it, and is not kiln's: a guest that writes straight into the cache can put anything there.
//!
//! Nothing of it may keep a commit from its work: what stands in the way of the directory itself is removed when one is
//! made, what lies beside the staging directories is left to [`crate::cache::verify`].

use anyhow::{Context, Result};

use super::staging::{self, DIRECTORY};
use crate::cache::{
    dir::{BeneathDir, FileType, join, permissions, what},
    lease::Lease,
};

/// So often somebody may put something else in the place of the directory before it is given up.
const ATTEMPTS: usize = 100;
/// FileType its owner must be able to do with a directory.
const OWNERS: u32 = 0o700;

/// The directory, made if it is missing, or something else: that is removed, never followed.
pub(in crate::cache) fn make(lease: &Lease) -> Result<BeneathDir> {
    let cache = &lease.place;
    for _ in 0..ATTEMPTS {
        let there = cache.stat(DIRECTORY).context("look for .kiln in the cache")?;
        match there.map(|stat| what(&stat)) {
            Some(FileType::File | FileType::Symlink | FileType::Other) => {
                tracing::warn!("removes .kiln from the cache, which is no directory of kiln's");
                match cache.unlink(DIRECTORY) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(error).context("remove what is in the way of .kiln in the cache");
                    }
                    Ok(()) | Err(_) => {}
                }
            }
            None | Some(FileType::Directory) => {
                open_up(lease)?;
                match cache.make(DIRECTORY) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {}
                    result => return result.context("make .kiln in the cache"),
                }
            }
        }
    }
    anyhow::bail!("something else is put in the place of .kiln all the time")
}

/// Gives its owner back what a guest has taken: to read and to write the directory.
pub(in crate::cache) fn open_up(lease: &Lease) -> Result<()> {
    let there = lease.place.stat(DIRECTORY).context("look for .kiln in the cache")?;
    match there.filter(|stat| what(stat) == FileType::Directory).map(|stat| permissions(&stat)) {
        Some(mode) if mode & OWNERS != OWNERS => {
            lease.place.set_mode_of(DIRECTORY, mode | OWNERS).context("open .kiln in the cache")
        }
        Some(_) | None => Ok(()),
    }
}

/// Something that is not this home's.
pub(in crate::cache) enum Intruder {
    /// No kiln makes such a thing.
    Strange(Vec<u8>),
    /// The staging directory of a kiln with another home: not ours to judge.
    Foreign(Vec<u8>),
}

/// FileType there is of that, by path.
pub(in crate::cache) fn of(lease: &Lease) -> Result<Vec<Intruder>> {
    let there = lease.place.stat(DIRECTORY).context("look for .kiln in the cache")?;
    match there.map(|stat| what(&stat)) {
        None => return Ok(Vec::new()),
        Some(FileType::Directory) => {}
        Some(FileType::File | FileType::Symlink | FileType::Other) => {
            return Ok(vec![Intruder::Strange(DIRECTORY.to_vec())]);
        }
    }
    let Some(parent) = lease.place.dir(DIRECTORY).context("open .kiln in the cache")? else {
        return Ok(Vec::new());
    };
    let own = staging::prefix(lease)?;
    let mut found = Vec::new();
    for name in parent.names().context("list .kiln in the cache")? {
        let Some(stat) = parent.stat(&name).context("look into .kiln in the cache")? else { continue };
        let path = join(DIRECTORY, &name);
        match what(&stat) {
            FileType::Directory if name.starts_with(own.as_bytes()) => {}
            FileType::Directory if is_staging(&name) => found.push(Intruder::Foreign(path)),
            FileType::Directory | FileType::File | FileType::Symlink | FileType::Other => {
                found.push(Intruder::Strange(path))
            }
        }
    }
    Ok(found)
}

/// Whether a name is as those of staging directories are: three numbers.
fn is_staging(name: &[u8]) -> bool {
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_hexdigit);
    name.split(|&byte| byte == b'-').count() == 3 && name.split(|&byte| byte == b'-').all(is_number)
}
