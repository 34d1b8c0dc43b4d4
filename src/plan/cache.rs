//! The cache in the plan: its directory, its share, and the fate of the build's writes.

mod decide;
pub(crate) mod mounts;

use std::path::PathBuf;

use clap::ValueEnum;
use kiln_protocol::Access;
use serde::Serialize;

/// The directory in a cache in which commits are staged. It is hidden from builds, so that they do not read incomplete entries.
pub const STAGING: &str = ".kiln";

/// The fate of the writes of a build into the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheMode {
    /// The build sees its own writes. They are discarded.
    Discard,
    /// The build sees its own writes. If it succeeds, all of them are merged into the directory in one transaction.
    Commit,
    /// Writes reach the directory at once.
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

    /// The table: the access of the guest to the host's directory, and that of its steps to the cache as they see it.
    fn accesses(self) -> (Access, Access) {
        match self {
            Self::Discard | Self::Commit => (Access::ReadOnly, Access::ReadWrite),
            Self::Rw => (Access::ReadWrite, Access::ReadWrite),
            Self::Ro => (Access::ReadOnly, Access::ReadOnly),
        }
    }
}

/// The behaviour of builds that use one cache at the same time, in BuildKit's words: `--cache-sharing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum CacheSharing {
    /// Several builds use the cache at the same time.
    Shared,
    // The directory is kept for the next such build.
    /// The first build uses the cache; each other build has a directory of its own.
    Private,
    /// Each build waits until no other build uses the cache.
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

/// How the directory is shared with the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheShare {
    /// QEMU's own 9p server.
    NineP,
    /// A virtiofsd beside QEMU.
    Virtiofs,
    /// kiln's own virtiofs device beside QEMU.
    Embedded,
    /// The directory itself, in a container or sandbox.
    Bind,
}

impl CacheShare {
    /// The end of the sentence "the cache is shared …".
    pub fn phrase(self) -> &'static str {
        match self {
            Self::NineP => "by 9p",
            Self::Virtiofs | Self::Embedded => "by virtiofs",
            Self::Bind => "bound",
        }
    }
}

/// The cache of a build: its directory, and all that follows from its mode, its share and its backend. Argument lists, mounts,
/// the daemon, the lease and the report read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheMount {
    /// The host directory, absolute.
    pub directory: PathBuf,
    /// The fate of writes.
    pub mode: CacheMode,
    /// How it is shared with the guest.
    pub share: CacheShare,
    /// The behaviour of builds that use it at the same time.
    pub sharing: CacheSharing,
    /// The access of the guest to the host directory.
    pub access: Access,
    /// The access of steps to the cache as they see it.
    pub step_access: Access,
}

impl CacheMount {
    /// A row of the table. By default builds share a cache if they do not write to it. If they write, they wait for each other: the
    /// locks of a tool have no effect outside its guest, and Maven and npm take none at all.
    pub fn new(
        directory: PathBuf,
        mode: CacheMode,
        share: CacheShare,
        sharing: Option<CacheSharing>,
    ) -> Self {
        let (access, step_access) = mode.accesses();
        let default_sharing = match access {
            Access::ReadOnly => CacheSharing::Shared,
            Access::ReadWrite => CacheSharing::Locked,
        };
        Self { directory, mode, share, sharing: sharing.unwrap_or(default_sharing), access, step_access }
    }

    /// Whether writes of the build reach the host directory at once.
    pub fn writes_through(&self) -> bool {
        self.access == Access::ReadWrite
    }

    /// Whether steps write into an overlay above the host directory.
    pub fn is_overlaid(&self) -> bool {
        self.access != self.step_access
    }

    /// Whether the writes of the build are merged into the host directory if it succeeds.
    pub fn commits(&self) -> bool {
        self.mode == CacheMode::Commit
    }

    /// Whether writes of the build can stay in the host directory.
    pub fn keeps(&self) -> bool {
        self.writes_through() || self.commits()
    }

    /// Whether the writes of the build are discarded after this outcome.
    pub fn discards(&self, succeeded: bool) -> bool {
        self.is_overlaid() && !(self.commits() && succeeded)
    }

    /// Whether a process beside QEMU serves it.
    pub fn has_daemon(&self) -> bool {
        match self.share {
            CacheShare::Virtiofs | CacheShare::Embedded => true,
            CacheShare::NineP | CacheShare::Bind => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_decides_access_and_default_sharing() {
        use Access::{ReadOnly, ReadWrite};
        for (mode, access, step_access, sharing, keeps) in [
            (CacheMode::Discard, ReadOnly, ReadWrite, CacheSharing::Shared, false),
            (CacheMode::Commit, ReadOnly, ReadWrite, CacheSharing::Shared, true),
            (CacheMode::Rw, ReadWrite, ReadWrite, CacheSharing::Locked, true),
            (CacheMode::Ro, ReadOnly, ReadOnly, CacheSharing::Shared, false),
        ] {
            let mount = CacheMount::new("/c".into(), mode, CacheShare::NineP, None);
            assert_eq!((mount.access, mount.step_access), (access, step_access), "{mode:?}");
            assert_eq!((mount.sharing, mount.keeps()), (sharing, keeps), "{mode:?}");
            let private = CacheMount::new("/c".into(), mode, CacheShare::NineP, Some(CacheSharing::Private));
            assert_eq!(private.sharing, CacheSharing::Private, "the option wins");
        }
    }
}
