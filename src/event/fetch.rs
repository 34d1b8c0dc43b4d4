//! Downloads of a root's packages.

use serde::Serialize;

/// A file that is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fetch {
    /// The name of the file, or what it is.
    pub name: String,
    /// Its state.
    pub state: FetchState,
    /// How many bytes are here.
    pub bytes: u64,
    /// How many there will be, if that is known.
    pub size: Option<u64>,
}

/// The state of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchState {
    /// It begins.
    Started,
    /// Some bytes are here; told about once a second.
    Running,
    /// All bytes are here.
    Done,
}
