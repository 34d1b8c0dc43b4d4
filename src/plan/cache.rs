//! The cache in the plan: which directory, by which share, and what becomes of the build's writes.

use std::path::PathBuf;

use serde::Serialize;

/// The directory in a cache in which commits are staged. No build sees it, so that none reads half an entry.
pub const STAGING: &str = ".kiln";

/// What becomes of what a build writes into the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheMode {
    /// The build sees its own writes; they are thrown away.
    Discard,
    /// The build sees its own writes; when it has succeeded they are merged into the directory, whole or not at all.
    Commit,
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
            Self::Commit => "commit",
            Self::Rw => "rw",
            Self::Ro => "ro",
        }
    }

    /// Where the build's writes go, as mounts see it.
    pub fn writes(self) -> CacheWrites {
        match self {
            Self::Discard | Self::Commit => CacheWrites::Overlay,
            Self::Rw => CacheWrites::Through,
            Self::Ro => CacheWrites::Refused,
        }
    }
}

/// Where what a build writes into the cache goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheWrites {
    /// Into an overlay above the directory, which itself cannot be written.
    Overlay,
    /// Into the directory.
    Through,
    /// Nowhere.
    Refused,
}

/// What builds that use one cache at the same time do, in BuildKit's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheSharing {
    /// They run at once.
    Shared,
    /// The first has the directory; each other one gets a directory of its own instead, kept for the next such build.
    Private,
    /// One waits for the other.
    Locked,
}

impl CacheSharing {
    /// As the command line spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Private => "private",
            Self::Locked => "locked",
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
    /// The directory itself, in a container or sandbox.
    Bind,
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
    /// What happens when several builds use it at once.
    pub sharing: CacheSharing,
}
