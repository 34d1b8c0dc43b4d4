//! What steps have read of what was there before them.

use serde::{Deserialize, Serialize};

/// The most directories that [`Counted`] names: with names of any kind they fit a frame.
pub const MAX_COUNTED: usize = 64;

/// What steps have read below [`super::World::counted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reads {
    /// So much.
    Counted(Counted),
    /// It cannot be told, for the reason in this sentence.
    Unknown(String),
}

/// Regular files that steps have opened to read them and only that, that were there when the world was made, and that
/// had not been changed since: each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// By the first component of their path; at most [`MAX_COUNTED`].
    pub directories: Vec<CountedDirectory>,
    /// Whether these are all; else there were more than could be looked at.
    pub completeness: Completeness,
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
    /// That component; empty for files that lie in the directory itself.
    pub name: String,
    /// How many.
    pub files: u64,
    /// Their sizes, added up.
    pub bytes: u64,
}
