//! Files that kiln adds to a package, with the directories above them, at their places in the order of the stream.

use std::{cmp::Ordering, collections::VecDeque};

use super::order::{compare, with_parents};
use crate::package::entry::{Entry, Kind};

/// A file to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::package) struct AddedFile {
    /// Its path in the package.
    pub(in crate::package) path: Vec<u8>,
    /// Its content.
    pub(in crate::package) content: Vec<u8>,
}

/// An entry that is still to be added: a directory, or the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Addition {
    Directory(Vec<u8>),
    File(AddedFile),
}

/// The entries of one file and of the directories above it that have not been passed.
#[derive(Debug, Default)]
pub(super) struct Additions(VecDeque<Addition>);

impl Addition {
    fn path(&self) -> &[u8] {
        match self {
            Self::Directory(path) => path,
            Self::File(file) => &file.path,
        }
    }
}

impl Additions {
    pub(super) fn of(file: AddedFile) -> Self {
        let mut paths = with_parents(&file.path);
        paths.pop();
        let directories = paths.into_iter().map(Addition::Directory);
        Self(directories.chain([Addition::File(file)]).collect())
    }

    /// The entries that stand before an entry of the stream. A directory that the stream has is not added.
    /// An error is the reason of the refusal of that entry.
    pub(super) fn before(&mut self, entry: &Entry) -> Result<Vec<Addition>, String> {
        let mut before = Vec::new();
        while let Some(next) = self.0.front() {
            match (compare(next.path(), &entry.path), next) {
                (Ordering::Less, _) => before.extend(self.0.pop_front()),
                (Ordering::Greater, _) => break,
                (Ordering::Equal, Addition::Directory(_)) if entry.kind == Kind::Directory => {
                    self.0.pop_front();
                }
                (Ordering::Equal, Addition::Directory(_)) => {
                    return Err("it has to be a directory, in which the SBOM of the package lies".into());
                }
                (Ordering::Equal, Addition::File(_)) => {
                    return Err("the SBOM of the package, which kiln makes, has this name".into());
                }
            }
        }
        Ok(before)
    }

    /// What is left at the end of the stream.
    pub(super) fn rest(&mut self) -> Vec<Addition> {
        std::mem::take(&mut self.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::entry::Time;

    fn entry(path: &str, kind: Kind) -> Entry {
        let (uname, gname, xattrs) = (Vec::new(), Vec::new(), Vec::new());
        let path = path.as_bytes().to_vec();
        Entry { path, kind, mode: 0, uid: 0, gid: 0, uname, gname, mtime: Time::default(), xattrs }
    }

    fn names(additions: &[Addition]) -> Vec<String> {
        additions.iter().map(|one| String::from_utf8_lossy(one.path()).into_owned()).collect()
    }

    fn additions() -> Additions {
        Additions::of(AddedFile { path: b"var/lib/db/x".to_vec(), content: vec![] })
    }

    #[test]
    fn what_is_missing_is_added_at_its_place() {
        let mut all = additions();
        let passed = |all: &mut Additions, path| all.before(&entry(path, Kind::Directory)).expect("allowed");
        assert!(passed(&mut all, "usr").is_empty());
        assert!(passed(&mut all, "usr/zz").is_empty());
        assert!(passed(&mut all, "var").is_empty(), "the directory of the stream is kept");
        assert!(passed(&mut all, "var/a").is_empty());
        assert_eq!(names(&passed(&mut all, "var/lib-2")), ["var/lib", "var/lib/db", "var/lib/db/x"]);
        assert!(all.rest().is_empty());
        assert_eq!(names(&additions().rest()), ["var", "var/lib", "var/lib/db", "var/lib/db/x"]);
    }

    #[test]
    fn a_name_that_is_in_the_way_is_refused() {
        let mut all = additions();
        let link = entry("var", Kind::Symlink { target: b"x".to_vec() });
        assert!(all.before(&link).expect_err("in the way").contains("directory"));
        let mut all = additions();
        for parent in ["var", "var/lib", "var/lib/db"] {
            all.before(&entry(parent, Kind::Directory)).expect("allowed");
        }
        assert!(all.before(&entry("var/lib/db/x", Kind::Fifo)).expect_err("in the way").contains("SBOM"));
    }
}
