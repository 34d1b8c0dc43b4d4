//! All that kiln knows of a tool that keeps a cache, as a type; a file of each tool fills it in.

use std::path::Path;

use anyhow::Result;

use super::{
    content::{Content, Files},
    expected::Expected,
    pattern,
};

/// A tool, or a family of tools that share a cache.
#[derive(Debug)]
pub struct Ecosystem {
    /// Its name: the word of `--cache-also`, and what a report calls it.
    pub name: &'static str,
    /// Whether every build has it.
    pub scope: Scope,
    /// Its directory below the cache.
    pub directory: &'static str,
    /// Variables of every step that does not say otherwise, and their values.
    pub variables: &'static [(&'static str, &'static str)],
    /// Directories that come first in the search path, where they exist.
    pub path: &'static [&'static str],
    /// Files of the guest that say what no variable can: path and text.
    pub files: &'static [(&'static str, &'static str)],
    /// Patterns of paths worth keeping, relative to [`Ecosystem::directory`]; empty: all that are not junk.
    pub keeps: &'static [&'static str],
    /// Patterns of paths that must not be kept: logs, locks, files that could change a later build. They win over `keeps`.
    pub junk: &'static [&'static str],
    /// Patterns of files that even a build without anything new writes again. They are kept, the last writer wins, and a
    /// report does not count their change as new.
    pub rewritten: &'static [&'static str],
    /// How its own processes exclude each other. No lock of a guest is seen outside of it.
    pub lock: Lock,
    /// The name of one entry of its cache.
    pub entry: &'static str,
    /// Patterns that say which files are one entry, and its name (`unit`). A file that fits none is an entry by itself.
    pub units: &'static [&'static str],
    /// Patterns of the files that a killed process of it leaves half-written.
    pub unfinished: &'static [&'static str],
    /// Rules for conflicts: the first that fits a path decides; if none does, the last writer wins.
    pub conflicts: &'static [Conflict],
    /// The directories of it that persist, if the rest is each build's own. They are made in every cache that a build may
    /// write.
    pub persists: &'static [&'static str],
    /// Paths below which repositories of git lie.
    pub repositories: &'static [&'static str],
    /// Paths below which [`Ecosystem::verify`] reads files to their end.
    pub digests: &'static [&'static str],
    /// The content that the name of a file promises; the path is relative to [`Ecosystem::directory`].
    pub expected: fn(&[u8]) -> Expected,
    /// Compares a file with its index or checksum; the path is from the top of the cache.
    pub verify: fn(&dyn Files, &str) -> Result<Content>,
    /// How entries name others.
    pub references: Option<References>,
}

impl PartialEq for Ecosystem {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Ecosystem {}

/// Entries that are removed with those that name them; paths are relative to [`Ecosystem::directory`].
#[derive(Debug, Clone, Copy)]
pub struct References {
    /// The name that an index gives to the entry at a path.
    pub name: fn(&[u8]) -> Option<String>,
    /// The index lies below this path.
    pub index: &'static str,
    /// The names in a file of the index, whose path is from the top of the cache.
    pub named: fn(&dyn Files, &[u8]) -> Result<Vec<String>>,
}

/// A conflict is a path that a build wants to replace, and that another commit has put there since the build began. Both are
/// whole files; neither is ever mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The earlier file stays: for names that stand for the content. Both files are equally good, and a file that a reader
    /// may have open is not replaced.
    First,
    /// The newer file wins: for databases, indexes and lists, of which the newer one has all that its own build stored. Also
    /// for files that are named by their digest (sources, npm's content): the newer one has been compared ([`Expected`]), the
    /// earlier one may be damaged.
    Last,
}

/// The rule for paths that begin with `below` and end with `ends`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    below: &'static str,
    ends: &'static str,
    rule: Rule,
}

impl Conflict {
    /// An empty text fits anything.
    pub(super) const fn of(below: &'static str, ends: &'static str, rule: Rule) -> Self {
        Self { below, ends, rule }
    }

    /// The rule, if it is about this path.
    pub(super) fn decide(&self, path: &[u8]) -> Option<Rule> {
        let fits = path.starts_with(self.below.as_bytes()) && path.ends_with(self.ends.as_bytes());
        fits.then_some(self.rule)
    }
}

/// Files that are removed together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// Its name, which files in several places share.
    pub name: String,
    /// How many components of the path lead to the file or directory that is removed.
    pub components: usize,
}

/// Whether an ecosystem's variables are set without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In every build, with a cache or without.
    Always,
    /// With `--cache-also`: a compiler's cache changes what is compiled anew, and the others are for few builds.
    OnRequest,
}

/// How a tool keeps its own processes from writing the same thing at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// By locks on files.
    Files,
    /// By writing a new file and renaming it: no lock is needed.
    Rename,
    /// Not at all: two processes can spoil an entry.
    None,
}

/// Whether the ecosystem of a path keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An entry, worth keeping.
    Kept,
    /// Kept, but written anew by every build.
    Rewritten,
    /// Not to be kept.
    Junk,
}

impl Ecosystem {
    /// The kind of `path`, which is relative to [`Ecosystem::directory`]. A directory on the way to kept paths is kept.
    pub fn kind(&self, path: &Path) -> Kind {
        let path = pattern::components(path);
        let any = |patterns: &[&str]| patterns.iter().any(|pattern| pattern::covers(pattern, &path));
        if any(self.junk) {
            return Kind::Junk;
        }
        if any(self.rewritten) {
            return Kind::Rewritten;
        }
        let leads = || self.keeps.iter().any(|pattern| pattern::leads_to(pattern, &path));
        if self.keeps.is_empty() || any(self.keeps) || leads() { Kind::Kept } else { Kind::Junk }
    }
}

/// The defaults of all fields: most tools share most of them.
pub(super) const NOTHING: Ecosystem = Ecosystem {
    name: "",
    scope: Scope::OnRequest,
    directory: "",
    variables: &[],
    path: &[],
    files: &[],
    keeps: &[],
    junk: &[],
    rewritten: &[],
    lock: Lock::Files,
    entry: "file",
    units: &[],
    unfinished: &[],
    conflicts: &[],
    persists: &[],
    repositories: &[],
    digests: &[],
    expected: |_| Expected::Anything,
    verify: |_, _| Ok(Content::Unknown),
    references: None,
};
