//! The order of entries in a package: a walk that descends into each directory as it comes, names sorted by their bytes.
//!
//! In this order a file that kiln adds can be put at its place while the stream passes.

use std::cmp::Ordering;

use crate::package::{
    entry::{Entry, Kind},
    tree::{check_path, check_target},
};

/// The entries of a package so far. Since they are sorted, no name comes twice, and the directories above the next entry
/// are all that has to be kept.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    last: Option<Vec<u8>>,
    /// The directories from the top down to the last entry.
    directories: Vec<Vec<u8>>,
}

impl Sequence {
    /// Takes the next entry; an error is the reason of the refusal.
    pub(super) fn admit(&mut self, entry: &Entry) -> Result<(), String> {
        check_path(&entry.path)?;
        match self.last.as_ref().map_or(Ordering::Less, |last| compare(last, &entry.path)) {
            Ordering::Less => {}
            Ordering::Equal => return Err("it is in the stream twice".into()),
            Ordering::Greater => return Err("it is not at its place in the order of names".into()),
        }
        let slash = entry.path.iter().rposition(|&byte| byte == b'/');
        if let Some(parent) = slash.map(|slash| &entry.path[..slash]) {
            while self.directories.pop_if(|directory| directory != parent).is_some() {}
            if self.directories.is_empty() {
                return Err("its parent is not a directory before it".into());
            }
        }
        match &entry.kind {
            Kind::Directory => self.directories.push(entry.path.clone()),
            Kind::Symlink { target } => check_target(target)?,
            Kind::File { .. } | Kind::HardLink { .. } | Kind::Fifo | Kind::Whiteout => {}
        }
        self.last = Some(entry.path.clone());
        Ok(())
    }
}

/// Compares two paths by their components: `a`, `a/x`, `a-b`.
pub(super) fn compare(one: &[u8], other: &[u8]) -> Ordering {
    one.split(|&byte| byte == b'/').cmp(other.split(|&byte| byte == b'/'))
}

/// A path and the directories above it, from the top.
pub(super) fn with_parents(path: &[u8]) -> Vec<Vec<u8>> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    slashes.chain([path.len()]).map(|end| path[..end].to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stands_before_its_content_and_that_before_the_next_name() {
        let sorted: [&[u8]; 7] = [b"a", b"a/x", b"a/x/y", b"a/z", b"a-b", b"a.b/c", b"b"];
        for pair in sorted.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less);
        }
        assert_eq!(compare(b"a/x", b"a/x"), Ordering::Equal);
    }

    #[test]
    fn a_path_has_the_directories_above_it() {
        assert_eq!(with_parents(b"var/lib/x"), [&b"var"[..], b"var/lib", b"var/lib/x"]);
        assert_eq!(with_parents(b"x"), [b"x"]);
    }
}
