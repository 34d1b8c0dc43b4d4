//! Gives a whole tree to one user: for shares whose files belong to somebody else on the host.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, lchown},
    path::Path,
};

use anyhow::{Context, Result};
use kiln_protocol::Given;

/// Bits that a change of owner takes away.
const SET_ID: u32 = 0o6000;

/// What becomes of set-id bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetId {
    /// They stay, for the new owner.
    Kept,
    /// They go, with the old owner.
    Dropped,
}

/// How a tree is given away.
#[derive(Clone, Copy)]
struct Gift {
    owner: (u32, u32),
    given: Given,
    set_id: SetId,
}

/// Gives `path` and everything below it, or its directories alone, that does not belong to (uid, gid) to it; links are not followed, other file
/// systems not entered.
pub(crate) fn all_below(path: &str, owner: (u32, u32), given: Given, set_id: SetId) -> Result<()> {
    let gift = Gift { owner, given, set_id };
    let path = Path::new(path);
    let metadata = fs::symlink_metadata(path).with_context(|| format!("look at {}", path.display()))?;
    give(path, &metadata, gift)?;
    if metadata.is_dir() { children(path, metadata.dev(), gift) } else { Ok(()) }
}

fn children(directory: &Path, device: u64, gift: Gift) -> Result<()> {
    let list = || format!("list {}", directory.display());
    for entry in fs::read_dir(directory).with_context(list)? {
        let path = entry.with_context(list)?.path();
        let metadata = fs::symlink_metadata(&path).with_context(|| format!("look at {}", path.display()))?;
        // Only directories tell: an overlay reports the devices of its layers for files.
        if metadata.is_dir() && metadata.dev() != device {
            continue;
        }
        give(&path, &metadata, gift)?;
        if metadata.is_dir() {
            children(&path, device, gift)?;
        }
    }
    Ok(())
}

fn give(path: &Path, metadata: &fs::Metadata, gift: Gift) -> Result<()> {
    let Gift { owner: (uid, gid), given, set_id } = gift;
    let passed_over = given == Given::Directories && !metadata.is_dir();
    if passed_over || (metadata.uid(), metadata.gid()) == (uid, gid) {
        return Ok(());
    }
    lchown(path, Some(uid), Some(gid)).with_context(|| format!("give {} to {uid}:{gid}", path.display()))?;
    if set_id == SetId::Kept && metadata.is_file() && metadata.mode() & SET_ID != 0 {
        fs::set_permissions(path, Permissions::from_mode(metadata.mode() & 0o7777))
            .with_context(|| format!("keep the mode of {}", path.display()))?;
    }
    Ok(())
}
