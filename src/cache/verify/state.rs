//! What can be told without reading: whose a file is, what kind it is, and whether it was finished.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use anyhow::{Context, Result};
use nix::{sys::stat::fchmod, unistd::geteuid};

use crate::{
    cache::{
        bring,
        place::{Place, What, permissions},
        walk::Found,
    },
    ecosystem,
};

/// The bits that make a program run as somebody else. On a directory set-gid is inherited and harms nobody.
const SET_ID: u32 = 0o6000;

/// What is wrong with something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// A tool began it and did not finish.
    Unfinished,
    /// Nothing that a cache can hold.
    Strange,
    /// Where `git-checkout` keeps packs, it is none, nor anything that speaks of them.
    Stray,
    /// It belongs to this user.
    Foreign(u32),
    /// It would run as its owner or group.
    SetId,
}

/// Whose files may lie in a cache: whoever runs kiln, and the owner of the directory.
pub(super) struct Owners {
    user: u32,
    owner: (u32, u32),
}

impl Owners {
    pub(super) fn of(cache: &Place) -> Result<Self> {
        let stat = cache.itself().context("look at the cache")?;
        Ok(Self { user: geteuid().as_raw(), owner: (stat.st_uid, stat.st_gid) })
    }

    /// Makes something the property of the cache's owner.
    pub(super) fn give(&self, parent: &Place, name: &[u8]) -> Result<()> {
        Ok(parent.give(name, self.owner)?)
    }
}

/// All that is wrong.
pub(super) fn of(found: &Found<'_>, owners: &Owners) -> Vec<State> {
    let mut states = Vec::new();
    let Found { path, stat, what, .. } = found;
    if ecosystem::is_unfinished(Path::new(OsStr::from_bytes(path))) {
        return vec![State::Unfinished];
    }
    if *what == What::Other {
        return vec![State::Strange];
    }
    if bring::is_stray(path, *what) {
        return vec![State::Stray];
    }
    if stat.st_uid != owners.user && stat.st_uid != owners.owner.0 {
        states.push(State::Foreign(stat.st_uid));
    }
    if *what == What::File && permissions(stat) & SET_ID != 0 {
        states.push(State::SetId);
    }
    states
}

/// Takes a file's set-id bits.
pub(super) fn clear_set_id(parent: &Place, name: &[u8]) -> Result<()> {
    let Some(file) = parent.file(name)? else { return Ok(()) };
    let stat = nix::sys::stat::fstat(&file)?;
    let mode = nix::sys::stat::Mode::from_bits_truncate(permissions(&stat) & !SET_ID);
    Ok(fchmod(&file, mode)?)
}
