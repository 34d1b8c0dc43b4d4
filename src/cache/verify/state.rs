//! What can be told without reading: whose a file is, what kind it is, and whether it was finished.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use anyhow::Result;

use crate::{
    cache::{
        attributes, bring,
        owners::Owners,
        place::{What, permissions},
        scrub::SET_ID,
        walk::Found,
    },
    ecosystem,
};

/// What is wrong with something.
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
    let Found { place, name, path, stat, what, unseen: _ } = found;
    if ecosystem::is_unfinished(Path::new(OsStr::from_bytes(path))) {
        return Ok(vec![State::Unfinished]);
    }
    if *what == What::Other {
        return Ok(vec![State::Strange]);
    }
    if bring::is_stray(path, *what) {
        return Ok(vec![State::Stray]);
    }
    let mut states = Vec::new();
    states.extend(owners.foreign(stat).map(State::Foreign));
    // On a directory set-gid is inherited, and harms nobody.
    if *what == What::File && permissions(stat) & SET_ID != 0 {
        states.push(State::SetId);
    }
    if matches!(what, What::File | What::Directory) {
        states.extend(attributes::harmful(place, name)?.into_iter().map(State::Attribute));
    }
    Ok(states)
}
