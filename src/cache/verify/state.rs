//! The faults of an entry that show without reading it: its owner, its type, and whether it is finished.

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

/// A fault of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// A tool began it and did not finish.
    Unfinished,
    /// It is a device, a fifo or a socket.
    SpecialFile,
    /// It lies where `git-checkout` keeps packs and lists, and is neither.
    Misplaced,
    /// It belongs to this user.
    Foreign(u32),
    /// It would run as its owner or group.
    SetId,
    /// It has an attribute that gives it rights, or makes it another file to an overlay.
    Attribute(OsString),
}

/// All faults of an entry.
pub(super) fn of(found: &Found<'_>, owners: &Owners) -> Result<Vec<State>> {
    let Found { dir, name, path, stat, file_type, unseen: _ } = found;
    if ecosystem::is_unfinished(Path::new(OsStr::from_bytes(path))) {
        return Ok(vec![State::Unfinished]);
    }
    if *file_type == FileType::Other {
        return Ok(vec![State::SpecialFile]);
    }
    if git_checkout::is_stray(path, entry_type(*file_type)) {
        return Ok(vec![State::Misplaced]);
    }
    let mut states = Vec::new();
    states.extend(owners.foreign(stat).map(State::Foreign));
    // On a directory set-gid is inherited and harmless.
    if *file_type == FileType::File && permissions(stat) & SET_ID != 0 {
        states.push(State::SetId);
    }
    if matches!(file_type, FileType::File | FileType::Directory) {
        states.extend(attributes::harmful(dir, name)?.into_iter().map(State::Attribute));
    }
    Ok(states)
}
