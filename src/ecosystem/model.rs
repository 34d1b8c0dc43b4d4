//! All that kiln knows of a tool that keeps a cache, as a type; a file of each tool fills it in.

use std::path::Path;

use super::pattern;

/// A tool, or a family of tools that share a cache.
#[derive(Debug, PartialEq, Eq)]
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
};
