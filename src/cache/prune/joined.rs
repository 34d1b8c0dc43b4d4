//! Joins entries of which one names another: an entry is removed with the entries of the index that name it.

use std::{collections::HashMap, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use anyhow::{Context, Result};

use super::entry::Entry;
use crate::{
    cache::dir::{BeneathDir, shown},
    ecosystem::{self, References},
};

/// Makes one entry of each content and the entries that name it.
pub(super) fn join(cache: &BeneathDir, entries: Vec<Entry>) -> Result<Vec<Entry>> {
    let mut contents: HashMap<String, usize> = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        contents.extend(entry.paths.iter().filter_map(|path| name(path)).map(|name| (name, at)));
    }
    let mut groups = Groups((0..entries.len()).collect());
    for (at, entry) in entries.iter().enumerate() {
        for path in &entry.paths {
            for name in named(cache, path).with_context(|| format!("read {}", shown(path)))? {
                if let Some(&content) = contents.get(&name) {
                    groups.join(content, at);
                }
            }
        }
    }
    let mut joined: HashMap<usize, usize> = HashMap::new();
    let mut whole: Vec<Entry> = Vec::new();
    for (at, entry) in entries.into_iter().enumerate() {
        match joined.get(&groups.first(at)) {
            Some(&dir) => whole[dir].absorb(entry),
            None => {
                joined.insert(groups.first(at), whole.len());
                whole.push(entry);
            }
        }
    }
    Ok(whole)
}

/// Groups of entries: each points to an earlier one of its group, the first to itself.
struct Groups(Vec<usize>);

impl Groups {
    fn first(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.first(one), self.first(other));
        self.0[one.max(other)] = one.min(other);
    }
}

/// The references of the tool that a path belongs to, and the path in its directory.
fn references(path: &[u8]) -> Option<(&'static References, &[u8])> {
    let (tool, rest) = ecosystem::of(Path::new(OsStr::from_bytes(path)))?;
    Some((tool.references.as_ref()?, rest.as_os_str().as_bytes()))
}

/// The name that an index may have for the entry at a path.
fn name(path: &[u8]) -> Option<String> {
    let (References { name, .. }, rest) = references(path)?;
    name(rest)
}

/// The names in a file, if it is part of an index.
fn named(cache: &BeneathDir, path: &[u8]) -> Result<Vec<String>> {
    match references(path) {
        Some((References { index, named, .. }, rest)) if rest.starts_with(index.as_bytes()) => {
            named(cache, path)
        }
        Some(_) | None => Ok(Vec::new()),
    }
}
