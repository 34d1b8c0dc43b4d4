//! Which files steps have read that existed before them.

use serde::{Deserialize, Serialize};

/// The most directories that [`Counted`] names: with names of any kind they fit a frame.
pub const MAX_COUNTED: usize = 64;

/// The [`CountedDirectory::name`] of files that lie in the directory itself and are named by their hash (`sha256:…`, `sha512:…`).
/// No directory has such a name.
pub const BY_HASH: &str = "/by-hash";

/// The most files in [`Counted::unclear`].
pub const MAX_UNCLEAR: usize = 4096;

/// The files that steps have read below [`super::GuestConfig::track_reads`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reads {
    /// The count.
    Counted(Counted),
    /// They could not be counted, for the reason in this sentence.
    Unknown(String),
}

/// Regular files that existed when the guest was prepared and that steps have opened for reading only, each once. Files that a step
/// had written before are not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// By the first component of their path; at most [`MAX_COUNTED`].
    pub directories: Vec<CountedDirectory>,
    /// Files that were read, and that steps have made, changed or removed. They count if they existed before, which the host may know.
    pub unclear: Vec<UnclearFile>,
    /// How many more files may count, plus how many of the counted ones may have had another size.
    pub unknown: u64,
    /// Whether the count is complete.
    pub completeness: Completeness,
}

/// A file that may have existed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnclearFile {
    /// Its index in [`Counted::directories`].
    pub directory: u8,
    /// Its inode number, as the share reports it.
    pub inode: u64,
}

/// Whether a count is complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Completeness {
    /// It has all files.
    #[default]
    All,
    /// There were more files than could be looked at.
    AtLeast,
}

/// The files that have the same first component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedDirectory {
    /// That component; empty, or [`BY_HASH`], for files that lie in the directory itself.
    pub name: String,
    /// How many.
    pub files: u64,
    /// The sum of their sizes.
    pub bytes: u64,
}
