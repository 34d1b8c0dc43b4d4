//! The entries of a package in the order of a walk: depth first, the names of a directory sorted by their bytes.

use std::cmp::Ordering;

use super::{
    file::{FileFacts, Kind},
    package::PackageFacts,
    path::parent,
};

/// A path with more links in it is not followed, which is the limit of Go's `os.Root`.
const MAX_LINKS: usize = 8;
/// A longer path cannot be opened by Linux.
const MAX_PATH: usize = 4096;

/// The entries, sorted.
#[derive(Debug)]
pub struct Walk<'a> {
    /// The name of the package.
    pub package: &'a str,
    files: &'a [FileFacts],
    order: Vec<u32>,
}

impl<'a> Walk<'a> {
    /// Sorts the entries of a package.
    pub fn new(facts: &'a PackageFacts) -> Self {
        let files = facts.files();
        // A stream has less than 2³² entries.
        let mut order: Vec<u32> = (0..).take(files.len()).collect();
        if !files.is_sorted_by(|a, b| compare(&a.path, &b.path).is_le()) {
            order.sort_by(|&a, &b| compare(path_of(files, a), path_of(files, b)));
        }
        Self { package: &facts.name, files, order }
    }

    /// The entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a FileFacts> + Clone + use<'a, '_> {
        self.order.iter().filter_map(|&index| self.files.get(index as usize))
    }

    /// The entry of a path.
    pub fn find(&self, path: &[u8]) -> Option<&'a FileFacts> {
        let found = self.order.binary_search_by(|&index| compare(path_of(self.files, index), path)).ok()?;
        self.files.get(*self.order.get(found)? as usize)
    }

    /// What an entry is when links are followed; `None` if a link leads nowhere or out of the package.
    pub fn resolve(&self, file: &'a FileFacts) -> Option<&'a FileFacts> {
        let mut links = 0;
        let mut file = file;
        while let Kind::Symlink { target } = &file.kind {
            let path = self.follow(parent(&file.path), target, &mut links)?;
            file = self.find(&path)?;
        }
        Some(file)
    }

    /// The path that `target` means in a directory, when links on the way are followed. The last component may be a link.
    fn follow(&self, directory: &[u8], target: &[u8], links: &mut usize) -> Option<Vec<u8>> {
        *links += 1;
        if *links > MAX_LINKS || target.starts_with(b"/") {
            return None;
        }
        let mut path = directory.to_vec();
        let mut components = target.split(|&byte| byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
        let mut next = components.next();
        while let Some(component) = next {
            next = components.next();
            if component == b".." {
                // Above the root of the package there is nothing of it.
                (!path.is_empty()).then_some(())?;
                path.truncate(parent(&path).len());
                continue;
            }
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(component);
            if path.len() > MAX_PATH {
                return None;
            }
            if next.is_some()
                && let Some(FileFacts { kind: Kind::Symlink { target }, .. }) = self.find(&path)
            {
                path = self.directory(parent(&path), target, links)?;
            }
        }
        Some(path)
    }

    /// As [`Self::follow`], until what is found is no link.
    fn directory(&self, directory: &[u8], target: &[u8], links: &mut usize) -> Option<Vec<u8>> {
        let mut path = self.follow(directory, target, links)?;
        while let Some(FileFacts { kind: Kind::Symlink { target }, .. }) = self.find(&path) {
            path = self.follow(parent(&path), target, links)?;
        }
        Some(path)
    }
}

fn path_of(files: &[FileFacts], index: u32) -> &[u8] {
    files.get(index as usize).map_or(&[], |file| &file.path)
}

/// The order of a walk: a slash comes before any other byte, so that a directory's entries follow it.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { u16::from(*byte) + 1 };
    a.iter().map(rank).cmp(b.iter().map(rank))
}
