//! Corrects a cache that a build has written straight into: programs that run with other rights (set-id bits, file
//! capabilities), device nodes, attributes that an overlay obeys, and files of other users.
//!
//! A commit takes none of these, but in mode `rw` the system calls of the steps reach the host. Only entries that were
//! changed since the build began are corrected: earlier ones are the user's. A change of mode leaves no trace in the directory
//! above, so the scrub stats every file.

use std::{io, ops::ControlFlow};

use anyhow::{Context, Result};
use nix::{
    sys::stat::{FileStat, SFlag},
    unistd::geteuid,
};
use serde::{Deserialize, Serialize};

use super::{open_cache::OpenCache, owners::Owners};
use crate::{
    cache::dir::{
        BeneathDir, FileType, attributes,
        ctime::Stamp,
        file_type, permissions, remove, shown,
        walk::{Found, PassOver, walk_but},
    },
    process,
};

/// The bits that make a program run as another user or group.
pub(in crate::cache) const SET_ID: u32 = 0o6000;
/// On a directory: new entries get its group.
const SET_GID: u32 = 0o2000;
/// The permissions that the owner of a directory must have.
const READ: u32 = 0o500;

/// A cache as it was before builds wrote into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cache) struct Before {
    /// An entry that was changed at this time of its file system or later may be a build's.
    pub since: Stamp,
    /// Owner and group of the directory itself.
    pub owner: (u32, u32),
    /// Its mode.
    pub mode: u32,
}

/// Whose files may be in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) enum Whose {
    /// Those of the user that runs kiln, and of the owner of the cache.
    TheUsers,
    /// Those of all users: other builds are writing, and need them as they are.
    AsTheyAre,
}

/// What a scrub has corrected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scrubbed {
    /// How many files and directories had set-id bits.
    pub set_id: u64,
    /// How many files and directories had harmful attributes, file capabilities among them.
    pub attributes: u64,
    /// How many device nodes were removed.
    pub devices: u64,
    /// How many entries belonged to other users or groups.
    pub owners: u64,
    /// How many directories were removed because they lie too deep to be looked at.
    pub too_deep: u64,
    /// How many entries could not be corrected.
    pub failed: u64,
    /// The first of these, and the error.
    pub example: Option<String>,
}

impl Scrubbed {
    /// Whether all was corrected.
    pub fn is_complete(&self) -> bool {
        self.failed == 0
    }

    /// The corrections in words; `None` if there are none.
    pub fn words(&self) -> Option<String> {
        let Self { set_id, attributes, devices, owners, too_deep, failed: _, example: _ } = self;
        let parts = [
            (set_id, "set-id bits taken from"),
            (attributes, "file capabilities and the like taken from"),
            (devices, "device nodes removed:"),
            (owners, "given back to the user that runs kiln:"),
            (too_deep, "directories removed that lay too deep:"),
        ];
        let parts = parts.iter().filter(|(count, _)| **count > 0);
        let parts: Vec<String> = parts.map(|(count, correction)| format!("{correction} {count}")).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// In words, what could not be corrected; `None` if there is nothing.
    pub fn failure(&self) -> Option<String> {
        let example = self.example.as_ref().filter(|_| self.failed > 0)?;
        Some(format!("{} of its entries could not be corrected ({example})", self.failed))
    }
}

/// Scrubs a cache; `before` is its state before the builds.
pub(in crate::cache) fn scrub(cache: &OpenCache, before: Before, whose: Whose) -> Result<Scrubbed> {
    let run = || {
        let owners = Owners::with(before.owner)?;
        let mut scrub = Scrub { before, whose, owners, done: Scrubbed::default() };
        scrub.top(&cache.root);
        walk_but(&cache.root, PassOver { at_top: None, unreadable: true }, |found| {
            scrub.visit(found);
            Ok(ControlFlow::Continue(()))
        })
        .context("look through the cache")?;
        anyhow::Ok(scrub.done)
    };
    let first = run()?;
    if first.is_complete() || geteuid().is_root() || whose == Whose::AsTheyAre {
        return Ok(first);
    }
    // A sandbox's other users are ids of the user's range, which root of a namespace may change.
    process::reclaim(&cache.directory);
    let Scrubbed { set_id, attributes, devices, owners, too_deep, failed, example } = run()?;
    Ok(Scrubbed {
        set_id: first.set_id + set_id,
        attributes: first.attributes + attributes,
        devices: first.devices + devices,
        owners: first.owners + owners + first.failed.saturating_sub(failed),
        too_deep: first.too_deep + too_deep,
        failed,
        example,
    })
}

/// Takes harmful attributes and the set-id bits that are not in `kept` from an entry; says whether it had such bits, and such
/// attributes.
pub(in crate::cache) fn disarm(parent: &BeneathDir, name: &[u8], kept: u32) -> io::Result<(bool, bool)> {
    let Some(stat) = parent.stat(name)? else { return Ok((false, false)) };
    let file_type = file_type(&stat);
    let harmful = match file_type {
        FileType::File | FileType::Directory => attributes::harmful(parent, name)?,
        FileType::Symlink | FileType::Other => Vec::new(),
    };
    let has_bits = |stat: &FileStat| permissions(stat) & SET_ID & !kept != 0;
    let had = (has_bits(&stat) && file_type != FileType::Symlink, !harmful.is_empty());
    if file_type == FileType::File && (had.0 || had.1) {
        // The owner of a file can take its capabilities only so: removing the attribute is for root (chown(2)).
        parent.touch(name)?;
    }
    let left = if had.1 { attributes::harmful(parent, name)? } else { harmful };
    left.iter().try_for_each(|attribute| attributes::remove(parent, name, attribute))?;
    if let Some(stat) = parent.stat(name)?.filter(|stat| had.0 && has_bits(stat)) {
        parent.chmod(name, permissions(&stat) & (!SET_ID | kept))?;
    }
    Ok(had)
}

struct Scrub {
    before: Before,
    whose: Whose,
    owners: Owners,
    done: Scrubbed,
}

impl Scrub {
    /// Gives the directory itself its mode and owner back.
    fn top(&mut self, cache: &BeneathDir) {
        let Before { owner, mode, .. } = self.before;
        let restore = || {
            let stat = cache.itself()?;
            if self.whose == Whose::TheUsers && (stat.st_uid, stat.st_gid) != owner {
                cache.give(b".", owner)?;
            }
            if permissions(&stat) != mode {
                cache.set_mode(mode)?;
            }
            disarm(cache, b".", SET_ID)
        };
        match restore() {
            Ok((_, attributes)) => self.done.attributes += u64::from(attributes),
            Err(error) => self.failed(b".", &error),
        }
    }

    fn visit(&mut self, found: &Found<'_>) {
        if (found.stat.st_ctime, found.stat.st_ctime_nsec) < self.before.since {
            return;
        }
        if let Err(error) = self.correct(found) {
            self.failed(found.path, &error);
        }
    }

    fn failed(&mut self, path: &[u8], error: &io::Error) {
        self.done.failed += 1;
        if self.done.example.is_none() {
            self.done.example = Some(format!("{}: {error}", shown(path)));
        }
    }

    fn correct(&mut self, found: &Found<'_>) -> io::Result<()> {
        let Found { dir, name, path: _, stat, file_type, unseen } = found;
        if *unseen {
            remove::forced(dir, name)?;
            self.done.too_deep += 1;
            return Ok(());
        }
        if is_device(stat) {
            remove::forced(dir, name)?;
            self.done.devices += 1;
            return Ok(());
        }
        if let (Whose::TheUsers, Some(owner)) = (self.whose, self.owners.right(stat)) {
            dir.give(name, owner)?;
            self.done.owners += 1;
        }
        if *file_type == FileType::Directory && permissions(stat) & READ != READ {
            dir.chmod(name, permissions(stat) | READ)?;
        }
        let kept = if *file_type == FileType::Directory { self.inherited(found)? } else { 0 };
        // Bits that the change of owner has taken count as well.
        let had_bits = *file_type != FileType::Symlink && permissions(stat) & SET_ID & !kept != 0;
        let (bits, attributes) = disarm(dir, name, kept)?;
        self.done.set_id += u64::from(bits || had_bits);
        self.done.attributes += u64::from(attributes);
        Ok(())
    }

    /// The set-id bits that a directory may have: set-gid, if the directory above has it, or if this one is older than the
    /// build and may have had it.
    fn inherited(&self, found: &Found<'_>) -> io::Result<u32> {
        let Found { dir, name, stat, .. } = found;
        if permissions(stat) & SET_GID == 0 {
            return Ok(0);
        }
        if permissions(&dir.itself()?) & SET_GID != 0 {
            return Ok(SET_GID);
        }
        let is_new = dir.dir(name)?.map_or(Ok(false), |dir| dir.is_made_since(self.before.since))?;
        Ok(if is_new { 0 } else { SET_GID })
    }
}

fn is_device(stat: &FileStat) -> bool {
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    kind == SFlag::S_IFCHR || kind == SFlag::S_IFBLK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_corrections_that_were_made_are_in_the_words() {
        assert_eq!(Scrubbed::default().words(), None);
        let scrubbed = Scrubbed { set_id: 2, devices: 1, ..Scrubbed::default() };
        assert_eq!(scrubbed.words().expect("words"), "set-id bits taken from 2, device nodes removed: 1");
        assert!(scrubbed.failure().is_none() && scrubbed.is_complete());
    }
}
