//! Gives a whole tree to one user: for shares whose files belong to somebody else on the host.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, lchown},
    path::Path,
};

use anyhow::{Context, Result};

/// Bits that a change of owner takes away.
const SET_ID: u32 = 0o6000;

/// Gives `path` and everything below it that does not belong to (uid, gid) to it; links are not followed, other file
/// systems not entered.
pub(crate) fn all_below(path: &str, uid: u32, gid: u32) -> Result<()> {
    let path = Path::new(path);
    let metadata = fs::symlink_metadata(path).with_context(|| format!("look at {}", path.display()))?;
    give(path, &metadata, (uid, gid))?;
    if metadata.is_dir() { children(path, metadata.dev(), (uid, gid)) } else { Ok(()) }
}

fn children(directory: &Path, device: u64, owner: (u32, u32)) -> Result<()> {
    let list = || format!("list {}", directory.display());
    for entry in fs::read_dir(directory).with_context(list)? {
        let path = entry.with_context(list)?.path();
        let metadata = fs::symlink_metadata(&path).with_context(|| format!("look at {}", path.display()))?;
        // Only directories tell: an overlay reports the devices of its layers for files.
        if metadata.is_dir() && metadata.dev() != device {
            continue;
        }
        give(&path, &metadata, owner)?;
        if metadata.is_dir() {
            children(&path, device, owner)?;
        }
    }
    Ok(())
}

fn give(path: &Path, metadata: &fs::Metadata, (uid, gid): (u32, u32)) -> Result<()> {
    if (metadata.uid(), metadata.gid()) == (uid, gid) {
        return Ok(());
    }
    lchown(path, Some(uid), Some(gid)).with_context(|| format!("give {} to {uid}:{gid}", path.display()))?;
    if metadata.is_file() && metadata.mode() & SET_ID != 0 {
        fs::set_permissions(path, Permissions::from_mode(metadata.mode() & 0o7777))
            .with_context(|| format!("keep the mode of {}", path.display()))?;
    }
    Ok(())
}
