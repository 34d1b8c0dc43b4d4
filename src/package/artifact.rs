//! A package as asked for, and as written.

use std::path::PathBuf;

use crate::event::Event;

/// A package that the stream may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The directory in the stream.
    pub name: String,
    /// The file's name without its extension: `name-version-rN`.
    pub file_stem: String,
}

/// Times and owners in place of the guest's, so that two builds of a recipe give the same bytes; as in melange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Normalization {
    /// The modification time of every entry: the build date, in seconds since the epoch.
    pub mtime: i64,
    /// The user that builds run as; the user's files belong to root in a package.
    pub build_uid: u32,
    /// The group of that user.
    pub build_gid: u32,
}

/// Everything that was written of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Collected {
    /// The packages, in their order.
    pub artifacts: Vec<Artifact>,
    /// The index that has them; `None` where none is written.
    pub index: Option<IndexFile>,
    /// What the user should know of them.
    pub remarks: Vec<Event>,
}

/// The index of the directory that packages are written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFile {
    /// Its path.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// How many packages it has, those of earlier builds included.
    pub packages: usize,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// [`Package::name`].
    pub package: String,
    /// Its path.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// How many files, links and directories it holds.
    pub entries: u64,
}
