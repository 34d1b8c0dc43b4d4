//! FileType can be told without reading: whose a file is, what kind it is, and whether it was finished.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use anyhow::Result;

use super::files::entry_type;
use crate::{
    cache::{
        dir::{FileType, attributes, permissions, walk::Found},
        txn::{owners::Owners, scrub::SET_ID},
    },
    ecosystem::{self, git_checkout},
};

/// FileType is wrong with something.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// It has an attribute that gives it rights, or makes it another file to an overlay.
    Attribute(OsString),
}

/// All that is wrong.
pub(super) fn of(found: &Found<'_>, owners: &Owners) -> Result<Vec<State>> {
    let Found { dir, name, path, stat, what, unseen: _ } = found;
    if ecosystem::is_unfinished(Path::new(OsStr::from_bytes(path))) {
        return Ok(vec![State::Unfinished]);
    }
    if *what == FileType::Other {
        return Ok(vec![State::Strange]);
    }
    if git_checkout::is_stray(path, entry_type(*what)) {
        return Ok(vec![State::Stray]);
    }
    let mut states = Vec::new();
    states.extend(owners.foreign(stat).map(State::Foreign));
    // On a directory set-gid is inherited, and harms nobody.
    if *what == FileType::File && permissions(stat) & SET_ID != 0 {
        states.push(State::SetId);
    }
    if matches!(what, FileType::File | FileType::Directory) {
        states.extend(attributes::harmful(dir, name)?.into_iter().map(State::Attribute));
    }
    Ok(states)
}
