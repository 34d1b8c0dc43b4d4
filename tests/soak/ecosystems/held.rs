//! The files of a cache, and the changes of a build to them.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    fs,
    hash::{Hash, Hasher},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use kiln::ecosystem::{self, Kind};

/// A file or link.
#[derive(PartialEq, Eq)]
struct Entry {
    bytes: u64,
    content: u64,
}

/// All of a cache.
pub(super) struct Held(BTreeMap<PathBuf, Entry>);

impl Held {
    /// Reads all of it; everything belongs to `uid`.
    pub(super) fn of(cache: &Path, uid: u32) -> Self {
        let mut found = BTreeMap::new();
        let mut open = vec![cache.to_owned()];
        while let Some(path) = open.pop() {
            let metadata = fs::symlink_metadata(&path).unwrap();
            assert_eq!(metadata.uid(), uid, "{}", path.display());
            if metadata.is_dir() {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let mut hasher = DefaultHasher::new();
            if metadata.is_symlink() {
                fs::read_link(&path).unwrap().hash(&mut hasher);
            } else {
                fs::read(&path).unwrap().hash(&mut hasher);
            }
            let inside = path.strip_prefix(cache).unwrap().to_owned();
            found.insert(inside, Entry { bytes: metadata.len(), content: hasher.finish() });
        }
        Self(found)
    }

    /// Whether it holds a file or link.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    /// The entries worth keeping below a directory: how many.
    pub(super) fn entries(&self, directory: &str) -> usize {
        let entries = self.0.keys().filter(|path| path.starts_with(directory));
        entries.filter(|path| ecosystem::kind(path) == Kind::Kept).count()
    }

    /// The files that have changed, of those that a build without new dependencies leaves alone.
    pub(super) fn made_anew<'h>(&'h self, before: &'h Self) -> Vec<&'h Path> {
        let changed = self.0.iter().filter(|(path, entry)| before.0.get(*path) != Some(*entry));
        let changed = changed.map(|(path, _)| path.as_path());
        changed.filter(|path| ecosystem::kind(path) == Kind::Kept).collect()
    }

    /// Bytes of the files below a directory that every build may write again: a build that reads more has used an entry.
    pub(super) fn bytes_of_no_entry(&self, directory: &str) -> u64 {
        let others = self.0.iter().filter(|(path, _)| path.starts_with(directory));
        others
            .filter(|(path, _)| ecosystem::kind(path) == Kind::Rewritten)
            .map(|(_, entry)| entry.bytes)
            .sum()
    }
}
