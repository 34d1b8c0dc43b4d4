//! Entries at `.kiln`, or in it, that are not of this kiln: a guest that writes straight into the cache can put anything
//! there. They do not keep a commit from its work; a verification reports them.

use anyhow::{Context, Result};

use super::{
    open_cache::OpenCache,
    staging_root::{DIRECTORY, prefix},
};
use crate::cache::dir::{FileType, file_type, join};

/// An entry that this home has not made.
pub(in crate::cache) enum ForeignEntry {
    /// No kiln makes such an entry.
    Unknown(Vec<u8>),
    /// The staging directory of a kiln with another home.
    OtherHome(Vec<u8>),
}

/// All of them, by path.
pub(in crate::cache) fn of(cache: &OpenCache) -> Result<Vec<ForeignEntry>> {
    let there = cache.root.stat(DIRECTORY).context("look for .kiln in the cache")?;
    match there.map(|stat| file_type(&stat)) {
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
        match file_type(&stat) {
            FileType::Directory if name.starts_with(own.as_bytes()) => {}
            FileType::Directory if is_staging(&name) => found.push(ForeignEntry::OtherHome(path)),
            FileType::Directory | FileType::File | FileType::Symlink | FileType::Other => {
                found.push(ForeignEntry::Unknown(path))
            }
        }
    }
    Ok(found)
}

/// Whether a name has the form of a staging directory's: three numbers.
fn is_staging(name: &[u8]) -> bool {
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_hexdigit);
    name.split(|&byte| byte == b'-').count() == 3 && name.split(|&byte| byte == b'-').all(is_number)
}
