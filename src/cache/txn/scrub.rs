//! FileType a build that wrote straight into a cache may have left there and must not: programs that run with other rights
//! (set-id bits, file capabilities), device nodes, attributes that an overlay obeys, files of other users.
//!
//! A commit takes nothing of it in the first place; in mode `rw` the steps' own system calls reach the host, by whatever
//! way. Only what was changed since the build began is touched: what the user has put there is the user's. A change of mode
//! leaves no trace in the directory above, so every file is looked at (a stat each), and only what changed is asked for more.

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
        permissions, remove, shown,
        walk::{Found, PassOver, walk_but},
        what,
    },
    process,
};

/// The bits that make a program run as somebody else.
pub(in crate::cache) const SET_ID: u32 = 0o6000;
/// Of a directory: what is made in it has its group.
const SET_GID: u32 = 0o2000;
/// FileType the owner of a directory must be able to do with it.
const READ: u32 = 0o500;

/// A cache as it was before builds wrote into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cache) struct Before {
    /// FileType was changed at this time of its file system or later may be a build's.
    pub since: Stamp,
    /// Of the directory itself.
    pub owner: (u32, u32),
    /// The same.
    pub mode: u32,
}

/// Whose files may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) enum Whose {
    /// Those of the user who runs kiln, and of the owner of the cache.
    TheUsers,
    /// Other builds are writing, and need them to be as they are.
    AsTheyAre,
}

/// FileType was changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scrubbed {
    /// How many things had set-id bits.
    pub set_id: u64,
    /// How many files and directories had harmful attributes, file capabilities among them.
    pub attributes: u64,
    /// How many device nodes were removed.
    pub devices: u64,
    /// How many things belonged to other users or groups.
    pub owners: u64,
    /// How many directories were removed because they lie too deep to be looked at.
    pub too_deep: u64,
    /// How many things are as they were, since they could not be changed.
    pub failed: u64,
    /// The first of them, and why.
    pub example: Option<String>,
}

impl Scrubbed {
    /// Whether nothing is left to do.
    pub fn is_complete(&self) -> bool {
        self.failed == 0
    }

    /// FileType was done, in words; `None` for nothing.
    pub fn words(&self) -> Option<String> {
        let Self { set_id, attributes, devices, owners, too_deep, failed: _, example: _ } = self;
        let parts = [
            (set_id, "set-id bits taken from"),
            (attributes, "file capabilities and the like taken from"),
            (devices, "device nodes removed:"),
            (owners, "given back to the user who runs kiln:"),
            (too_deep, "directories removed that lay too deep:"),
        ];
        let parts = parts.iter().filter(|(count, _)| **count > 0);
        let parts: Vec<String> = parts.map(|(count, what)| format!("{what} {count}")).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// FileType could not be done, in words; `None` for nothing.
    pub fn failure(&self) -> Option<String> {
        let example = self.example.as_ref().filter(|_| self.failed > 0)?;
        Some(format!("{} of its entries could not be corrected ({example})", self.failed))
    }
}

/// Scrubs a cache that was like this before.
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

/// Takes set-id bits but those in `kept`, and harmful attributes, of what has this name; says whether there were some.
pub(in crate::cache) fn disarm(parent: &BeneathDir, name: &[u8], kept: u32) -> io::Result<(bool, bool)> {
    let Some(stat) = parent.stat(name)? else { return Ok((false, false)) };
    let what = what(&stat);
    let harmful = match what {
        FileType::File | FileType::Directory => attributes::harmful(parent, name)?,
        FileType::Symlink | FileType::Other => Vec::new(),
    };
    let has_bits = |stat: &FileStat| permissions(stat) & SET_ID & !kept != 0;
    let had = (has_bits(&stat) && what != FileType::Symlink, !harmful.is_empty());
    if what == FileType::File && (had.0 || had.1) {
        // Whoever owns a file may take its capabilities so, though nobody but root may remove the attribute (chown(2)).
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
    /// The directory itself is as it was.
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
        let Found { dir, name, path: _, stat, what, unseen } = found;
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
        if *what == FileType::Directory && permissions(stat) & READ != READ {
            dir.chmod(name, permissions(stat) | READ)?;
        }
        let kept = if *what == FileType::Directory { self.inherited(found)? } else { 0 };
        // FileType a change of owner took counts as well.
        let had_bits = *what != FileType::Symlink && permissions(stat) & SET_ID & !kept != 0;
        let (bits, attributes) = disarm(dir, name, kept)?;
        self.done.set_id += u64::from(bits || had_bits);
        self.done.attributes += u64::from(attributes);
        Ok(())
    }

    /// The set-id bits that a directory may have: set-gid, if the one above has it, or if it was there before the build and
    /// may have had it.
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
    fn what_was_done_is_said_and_nothing_else() {
        assert_eq!(Scrubbed::default().words(), None);
        let scrubbed = Scrubbed { set_id: 2, devices: 1, ..Scrubbed::default() };
        assert_eq!(scrubbed.words().expect("words"), "set-id bits taken from 2, device nodes removed: 1");
        assert!(scrubbed.failure().is_none() && scrubbed.is_complete());
    }
}
