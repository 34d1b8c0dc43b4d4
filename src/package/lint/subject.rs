//! What a linter looks at, and what it finds.

use serde::Serialize;

use crate::package::facts::{FileFacts, Walk};

/// More items of one finding are counted, not kept: a hostile package has a million of each.
const MAX_ITEMS: usize = 2000;

/// One package.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) name: &'a str,
    pub(super) walk: &'a Walk<'a>,
    pub(super) tests: Tests,
}

/// Which tests of a package's own `test` section, at its top level, look at libraries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tests {
    /// The build file is known; it is not for a package without `.melange.yaml`.
    pub is_known: bool,
    /// `test/ldd-check` or `test/tw/ldd-check`.
    pub has_ldd_check: bool,
    /// `test/pkgconf`.
    pub has_pkgconf: bool,
}

/// What a linter has found.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) message: String,
    /// Lines that follow the message where it is shown.
    pub(super) lines: Vec<String>,
    pub(super) details: Details,
    /// melange does not find it, by a defect. It is a warning then, so that no build fails that passes there.
    pub(super) is_warning_only: bool,
}

impl Outcome {
    pub(super) fn new(message: String, details: Details) -> Self {
        Self { message, lines: Vec::new(), details, is_warning_only: false }
    }

    /// A finding about the package as a whole.
    pub(super) fn plain(message: impl Into<String>) -> Self {
        Self::new(message.into(), Details::None {})
    }
}

/// The items of a finding, as `--persist-lint-results` writes them. Each list has at most 2,000 items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Details {
    /// The message says it all.
    None {},
    /// Entries.
    Paths {
        /// Their paths.
        paths: Vec<String>,
    },
    /// Programs and libraries.
    Binaries {
        /// Their paths.
        binaries: Vec<String>,
    },
    /// Programs and libraries for other architectures.
    Architectures {
        /// Each with its architecture.
        binaries: Vec<Architecture>,
    },
    /// Entries whose paths name other architectures.
    ArchitecturePaths {
        /// Each with the architecture that it names.
        files: Vec<Architecture>,
    },
    /// Entries whose paths name other systems.
    Platforms {
        /// Each with the system.
        references: Vec<Platform>,
    },
    /// Entries with permissions that they should not have.
    Permissions {
        /// Each with its permissions.
        files: Vec<Permissions>,
    },
    /// Packages of Python.
    PythonPackages {
        /// How many there are.
        count: usize,
        /// Their names, in quotes.
        packages: Vec<String>,
    },
    /// Files with the same name and content.
    Duplicates {
        /// How many groups of files there are.
        total_duplicate_sets: usize,
        /// Bytes that links would save.
        total_wasted_bytes: u64,
        /// The same, for people.
        total_wasted_size: String,
        /// The groups.
        duplicates: Vec<Duplicate>,
    },
}

/// An entry and an architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Architecture {
    /// The path.
    pub path: String,
    /// The architecture's name.
    pub arch: String,
}

/// An entry and the system that its path names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Platform {
    /// The path.
    pub path: String,
    /// `macos` or `windows`.
    pub platform: &'static str,
}

/// An entry and its permissions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Permissions {
    /// The path.
    pub path: String,
    /// Octal.
    pub mode: String,
    /// What is special: `setuid`, `world-writable`, …
    pub permissions: Vec<&'static str>,
}

/// Files with the same name and content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Duplicate {
    /// The name.
    pub basename: String,
    /// How many there are.
    pub count: usize,
    /// The size of one, in bytes.
    pub size_bytes: u64,
    /// The same, for people.
    pub size: String,
    /// Bytes that links would save.
    pub wasted_bytes: u64,
    /// The same, for people.
    pub wasted_size: String,
    /// Their paths.
    pub paths: Vec<String>,
}

/// Items, of which the first are kept and all are counted.
#[derive(Debug)]
pub(super) struct Items<T> {
    pub(super) list: Vec<T>,
    pub(super) count: usize,
}

impl<T> Items<T> {
    pub(super) fn of(items: impl Iterator<Item = T>) -> Self {
        let mut list = Vec::new();
        let mut count = 0;
        for item in items {
            count += 1;
            if list.len() < MAX_ITEMS {
                list.push(item);
            }
        }
        Self { list, count }
    }

    /// `None` if there are none.
    pub(super) fn if_any(self) -> Option<Self> {
        (self.count > 0).then_some(self)
    }

    /// One word for one item, another for more.
    pub(super) fn word(&self, one: &'static str, more: &'static str) -> &'static str {
        if self.count == 1 { one } else { more }
    }
}

impl<'a> Subject<'a> {
    /// All entries.
    pub(super) fn files(&self) -> impl Iterator<Item = &'a FileFacts> + use<'a> {
        self.walk.iter()
    }

    /// A finding of the entries that `is_found` names, none of which is a directory.
    pub(super) fn paths(
        &self,
        is_found: impl Fn(&[u8]) -> bool,
        message: impl FnOnce(&str, &Items<String>) -> String,
    ) -> Option<Outcome> {
        let found = self.files().filter(|file| !file.is_directory() && is_found(&file.path));
        let items = Items::of(found.map(path_of)).if_any()?;
        let message = message(self.name, &items);
        Some(Outcome::new(message, Details::Paths { paths: items.list }))
    }
}

/// The path as text.
pub(super) fn path_of(file: &FileFacts) -> String {
    String::from_utf8_lossy(&file.path).into_owned()
}

/// The part of a name from its last dot on, as Go's `filepath.Ext`.
pub(super) fn extension(path: &[u8]) -> &[u8] {
    let name = crate::package::facts::base_name(path);
    name.iter().rposition(|&byte| byte == b'.').and_then(|dot| name.get(dot..)).unwrap_or_default()
}
