//! FileType lies at `.kiln`, or in it, and is not kiln's: a guest that writes straight into the cache can put anything there.
//!
//! Nothing of it may keep a commit from its work: what stands in the way of the directory itself is removed when one is
//! made, what lies beside the staging directories is left to [`crate::cache::verify`].

use anyhow::{Context, Result};

use super::{
    open_cache::OpenCache,
    staging_root::{DIRECTORY, prefix},
};
use crate::cache::dir::{FileType, join, what};

/// Something that is not this home's.
pub(in crate::cache) enum ForeignEntry {
    /// No kiln makes such a thing.
    Unknown(Vec<u8>),
    /// The staging directory of a kiln with another home: not ours to judge.
    OtherHome(Vec<u8>),
}

/// FileType there is of that, by path.
pub(in crate::cache) fn of(cache: &OpenCache) -> Result<Vec<ForeignEntry>> {
    let there = cache.root.stat(DIRECTORY).context("look for .kiln in the cache")?;
    match there.map(|stat| what(&stat)) {
        None => return Ok(Vec::new()),
        Some(FileType::Directory) => {}
        Some(FileType::File | FileType::Symlink | FileType::Other) => {
            return Ok(vec![ForeignEntry::Unknown(DIRECTORY.to_vec())]);
        }
    }
    let Some(parent) = cache.root.dir(DIRECTORY).context("open .kiln in the cache")? else {
        return Ok(Vec::new());
    };
    let own = prefix(cache)?;
    let mut found = Vec::new();
    for name in parent.names().context("list .kiln in the cache")? {
        let Some(stat) = parent.stat(&name).context("look into .kiln in the cache")? else { continue };
        let path = join(DIRECTORY, &name);
        match what(&stat) {
            FileType::Directory if name.starts_with(own.as_bytes()) => {}
            FileType::Directory if is_staging(&name) => found.push(ForeignEntry::OtherHome(path)),
            FileType::Directory | FileType::File | FileType::Symlink | FileType::Other => {
                found.push(ForeignEntry::Unknown(path))
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
