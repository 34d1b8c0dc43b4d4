//! What steps have read of what was there before them.

use serde::{Deserialize, Serialize};

/// The most directories that [`Counted`] names: with names of any kind they fit a frame.
pub const MAX_COUNTED: usize = 64;

/// In [`CountedDirectory::name`], files that lie in the directory itself and are named by their hash (`sha256:…`, `sha512:…`): no
/// directory has such a name.
pub const BY_HASH: &str = "/by-hash";

/// The most files that [`Counted`] leaves open.
pub const MAX_UNCLEAR: usize = 4096;

/// What steps have read below [`super::GuestConfig::track_reads`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reads {
    /// So much.
    Counted(Counted),
    /// It cannot be told, for the reason in this sentence.
    Unknown(String),
}

/// Regular files that steps have opened to read them and only that, and that were there when the world was made, but those
/// that a step had written before: each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// By the first component of their path; at most [`MAX_COUNTED`].
    pub directories: Vec<CountedDirectory>,
    /// Files that were read, and that were made, changed or removed by steps: they count if they were there. The host may know.
    pub unclear: Vec<UnclearFile>,
    /// How many more files may count, and how many of those that count may have held other bytes.
    pub unknown: u64,
    /// Whether these are all; else there were more than could be looked at.
    pub completeness: Completeness,
}

/// A file that may have been there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnclearFile {
    /// Its place in [`Counted::directories`].
    pub directory: u8,
    /// Its number, as the share gives it.
    pub inode: u64,
}

/// Whether a count is of all that there was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Completeness {
    /// It is.
    #[default]
    All,
    /// There was more.
    AtLeast,
}

/// The files that have the same first component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedDirectory {
    /// That component; empty, or [`BY_HASH`], for files that lie in the directory itself.
    pub name: String,
    /// How many.
    pub files: u64,
    /// Their sizes, added up.
    pub bytes: u64,
}
