//! The packages of a build while they are looked at: what the generators read, and where they put what they find.

use std::collections::{BTreeSet, HashSet};

use super::{
    declared::{Declared, LibraryVersions},
    libraries::Libraries,
    note::{Note, Notes},
};
use crate::package::facts::{FileFacts, PackageFacts, Walk};

/// The longest text that becomes a dependency; the names of files have at most 255 bytes.
const MAX_TEXT: usize = 1024;

/// What all packages of a build have in common.
#[derive(Debug)]
pub struct Analysis<'a> {
    pub(super) version: &'a str,
    pub(super) walks: Vec<Walk<'a>>,
    pub(super) libraries: Libraries<'a>,
    pub(super) library_versions: Option<&'a LibraryVersions>,
    /// The names of the libraries that packages of the build have for others; empty without `library_versions`.
    pub(super) own_libraries: HashSet<&'a [u8]>,
}

impl<'a> Analysis<'a> {
    /// `packages` are all packages of the build, the main package first; `version` is `VERSION-rEPOCH`. Without `library_versions`,
    /// depends have no versions of shared libraries.
    pub fn new(
        packages: &'a [PackageFacts],
        version: &'a str,
        library_versions: Option<&'a LibraryVersions>,
    ) -> Self {
        let walks: Vec<_> = packages.iter().map(Walk::new).collect();
        let libraries = Libraries::of(&walks);
        let mut own_libraries = HashSet::new();
        if library_versions.is_some() {
            let files = walks.iter().flat_map(Walk::iter);
            let public = files.filter(|file| libraries.is_in_directory(&file.path));
            let elves = public.filter_map(FileFacts::elf);
            own_libraries.extend(elves.flat_map(|elf| &elf.sonames).map(|soname| &**soname));
        }
        Self { version, walks, libraries, library_versions, own_libraries }
    }
}

/// One package while it is looked at.
pub(super) struct Package<'a> {
    pub(super) analysis: &'a Analysis<'a>,
    pub(super) walk: &'a Walk<'a>,
    pub(super) declared: &'a Declared,
    pub(super) found: Found,
    pub(super) notes: Notes,
}

/// What has been found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) depends: BTreeSet<String>,
    pub(super) provides: BTreeSet<String>,
    pub(super) vendored: BTreeSet<String>,
}

impl Package<'_> {
    pub(super) fn depend(&mut self, kind: &str, name: &str) {
        self.found.depends.insert(format!("{kind}:{name}"));
    }

    /// `bytes` of the file at `path` as a text that can stand in a dependency, or a note that it cannot.
    pub(super) fn text<'t>(&mut self, path: &[u8], bytes: &'t [u8]) -> Option<&'t str> {
        let text = str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_TEXT);
        let usable = text.filter(|text| !text.is_empty() && !text.chars().any(char::is_control));
        if usable.is_none() {
            self.notes.add(|| Note::unusable(path, bytes));
        }
        usable
    }
}
