//! Directories of libraries, and the libraries in those of all packages of a build.

use std::collections::{HashMap, HashSet};

use crate::package::facts::{FileFacts, Walk, base_name, parent};

/// Where the dynamic loader looks without configuration.
const DIRECTORIES: [&str; 4] = ["lib", "usr/lib", "lib64", "usr/lib64"];

/// What stands in the directories.
#[derive(Debug)]
pub(super) struct Libraries<'a> {
    /// Those of the loader and those that files of `etc/ld.so.conf.d` name, in this order.
    directories: HashMap<&'a [u8], usize>,
    /// What links mean, by the last component of their targets.
    meant: HashMap<&'a [u8], &'a FileFacts>,
}

/// A file in a directory of libraries.
#[derive(Debug)]
struct Candidate<'a> {
    name: &'a [u8],
    package: usize,
    directory: usize,
    file: &'a FileFacts,
}

impl<'a> Libraries<'a> {
    pub(super) fn of(walks: &[Walk<'a>]) -> Self {
        let directories = directories(walks);
        let links = walks.iter().flat_map(Walk::iter).filter_map(link_target);
        let wanted: HashSet<&[u8]> = links.collect();
        let mut candidates = Vec::new();
        for (package, walk) in walks.iter().enumerate() {
            for file in walk.iter() {
                let name = base_name(&file.path);
                if wanted.contains(name)
                    && let Some(&directory) = directories.get(parent(&file.path))
                {
                    candidates.push(Candidate { name, package, directory, file });
                }
            }
        }
        // Of several files of a name, the first that leads somewhere is meant.
        candidates.sort_by_key(|candidate| (candidate.package, candidate.directory));
        let mut meant = HashMap::new();
        for Candidate { name, package, file, .. } in candidates {
            if !meant.contains_key(name)
                && let Some(found) = walks.get(package).and_then(|walk| walk.resolve(file))
            {
                meant.insert(name, found);
            }
        }
        Self { directories, meant }
    }

    /// Whether a file stands directly in a directory of libraries.
    pub(super) fn is_in_directory(&self, path: &[u8]) -> bool {
        self.directories.contains_key(parent(path))
    }

    /// The library that a link `*.so*` means: a file of any package that has the name of the link's target.
    pub(super) fn of_link(&self, link: &FileFacts) -> Option<&'a FileFacts> {
        self.meant.get(link_target(link)?).copied()
    }
}

/// The name of what a link `*.so*` means.
fn link_target(file: &FileFacts) -> Option<&[u8]> {
    let target = file.target()?;
    let is_library = file.path.windows(3).any(|part| part == b".so");
    is_library.then(|| base_name(target))
}

/// The directories, each with its place in the order.
fn directories<'a>(walks: &[Walk<'a>]) -> HashMap<&'a [u8], usize> {
    let mut directories: HashMap<&'a [u8], usize> = HashMap::new();
    for (order, directory) in DIRECTORIES.iter().enumerate() {
        directories.insert(directory.as_bytes(), order);
    }
    for file in walks.iter().flat_map(Walk::iter).filter(|file| file.is_regular()) {
        for line in file.special.iter().flat_map(|special| &special.library_directories) {
            let directory = line.strip_suffix(b"/").unwrap_or(line);
            let order = directories.len();
            directories.entry(directory).or_insert(order);
        }
    }
    directories
}
