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
    /// What is worth keeping, as patterns relative to [`Ecosystem::directory`]; empty: all that is not junk.
    pub keeps: &'static [&'static str],
    /// What must not be kept: logs, locks, what could change a later build's result. Wins over `keeps`.
    pub junk: &'static [&'static str],
    /// What even a build that needed nothing new writes again: kept, the last writer wins, and no report calls a change
    /// of it new.
    pub rewritten: &'static [&'static str],
    /// How its own processes keep out of each other's way. No lock of a guest is seen outside of it.
    pub lock: Lock,
    /// What one entry of its cache is.
    pub entry: &'static str,
    /// Which files make one entry and go together, as patterns that name it (`unit`); what none of them fits is an entry
    /// by itself.
    pub units: &'static [&'static str],
    /// What a process of it that was killed leaves half-written, as patterns; while it runs these are its own.
    pub unfinished: &'static [&'static str],
    /// How conflicts are decided: the first that fits a path decides, else the last writer wins.
    pub conflicts: &'static [Conflict],
    /// Directories of it that persist while the rest is each build's own: they are made in every cache that a build may
    /// write.
    pub persists: &'static [&'static str],
    /// Paths below which repositories of git lie.
    pub repositories: &'static [&'static str],
    /// Paths below which [`Ecosystem::verify`] reads files to their end.
    pub digests: &'static [&'static str],
    /// What the name of a file says of its content; the path is relative to [`Ecosystem::directory`].
    pub expected: fn(&[u8]) -> Expected,
    /// Compares a file with what others say of it; the path is from the top of the cache.
    pub verify: fn(&dyn Files, &str) -> Result<Content>,
    /// How entries name each other.
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
    /// What is there stays. So where the name stands for the content: what is there is as good as what comes, and a file
    /// that a reader may have open is not replaced.
    First,
    /// The newer one wins. So where a tool keeps a database, an index or a list: the newer one knows no less about what its
    /// own build stored. Also for what is named by its hash (sources, npm's content): what comes has been compared
    /// ([`Expected`]), what is there may be damaged.
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

/// What is removed together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// Its name, which files in several places share.
    pub name: String,
    /// So many components of the path are what has to be removed.
    pub components: usize,
}

/// Whether an ecosystem's variables are set without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In every build, with a cache or without.
    Always,
    /// With `--cache-also`: a compiler's cache changes what is built from scratch, others are for few builds.
    OnRequest,
}

/// How a tool keeps its own processes from writing the same thing at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// By locks on files.
    Files,
    /// By writing beside and renaming over: no lock is needed.
    Rename,
    /// Not at all: two processes can spoil an entry.
    None,
}

/// What a path below the cache is to its ecosystem.
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
    /// What `path`, relative to [`Ecosystem::directory`], is. A directory that only leads to what is kept is kept.
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

/// A tool of which nothing is known: most tools share most of it.
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
