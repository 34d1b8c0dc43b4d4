//! The cache in the plan: which directory, by which share, and what becomes of the build's writes.

use std::path::PathBuf;

use serde::Serialize;

/// What becomes of what a build writes into the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheMode {
    /// The build sees its own writes; they are thrown away.
    Discard,
    /// Writes go straight through.
    Rw,
    /// The build cannot write.
    Ro,
}

impl CacheMode {
    /// As the command line spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Discard => "discard",
            Self::Rw => "rw",
            Self::Ro => "ro",
        }
    }
}

/// How the directory gets into the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheShare {
    /// QEMU's own 9p server.
    NineP,
    /// A virtiofsd beside QEMU.
    Virtiofs,
}

/// The cache of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CachePlan {
    /// The host directory, absolute.
    pub directory: PathBuf,
    /// What becomes of writes.
    pub mode: CacheMode,
    /// How it gets into the guest.
    pub share: CacheShare,
}
