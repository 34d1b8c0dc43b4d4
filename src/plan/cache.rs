//! The cache in the plan: which directory, by which share, and what becomes of the build's writes.

use std::path::PathBuf;

use clap::ValueEnum;
use kiln_protocol::{Access, Mount};
use serde::Serialize;

use super::{
    BuildOptions, CACHE, CacheModeOption, Owner, VirtiofsOption, cargo,
    guest_config::{self, OverlayOptions, ROOT, SCRATCH, SHARES},
};

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

    /// The table: what this mode lets the guest do with the host's directory, and its steps with what they see of it.
    fn accesses(self) -> (Access, Access) {
        match self {
            Self::Discard | Self::Commit => (Access::ReadOnly, Access::ReadWrite),
            Self::Rw => (Access::ReadWrite, Access::ReadWrite),
            Self::Ro => (Access::ReadOnly, Access::ReadOnly),
        }
    }
}

/// What builds that use one cache at the same time do, in BuildKit's words: `--cache-sharing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum CacheSharing {
    /// Several builds use the cache at the same time.
    Shared,
    // It is kept for the next such build.
    /// The first build uses the cache, each other one a directory of its own.
    Private,
    /// Each build waits until it has the cache alone.
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

impl CacheShare {
    /// As a sentence says it: the cache is shared "by 9p".
    pub fn phrase(self) -> &'static str {
        match self {
            Self::NineP => "by 9p",
            Self::Virtiofs => "by virtiofs",
            Self::Bind => "bound",
        }
    }
}

/// The cache of a build: which directory, and all that follows from its mode, its share and its backend. Argument lists, mounts,
/// the daemon, the lease and the report read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheMount {
    /// The host directory, absolute.
    pub directory: PathBuf,
    /// What becomes of writes.
    pub mode: CacheMode,
    /// How it gets into the guest.
    pub share: CacheShare,
    /// What happens when several builds use it at once.
    pub sharing: CacheSharing,
    /// What the guest can do with the host directory.
    pub access: Access,
    /// What steps can do with what they see of it.
    pub step_access: Access,
}

impl CacheMount {
    /// A row of the table. Without a word about it builds share a cache that none of them writes; where they write, they wait for
    /// each other: the locks that tools take do not leave their guest, and Maven and npm take none at all.
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

    /// What a build is to have; `None` for no cache. It is needed before the rest of the plan, to take the lease.
    pub fn decide(options: &BuildOptions) -> Option<Self> {
        let directory = options.cache_dir.clone()?;
        let share = match (options.runner.traits().own_kernel, options.virtiofs) {
            (false, _) => CacheShare::Bind,
            (true, VirtiofsOption::Off) => CacheShare::NineP,
            (true, VirtiofsOption::Spawned) => CacheShare::Virtiofs,
        };
        let mode = match (options.cache_mode, share) {
            (CacheModeOption::Auto, CacheShare::NineP) | (CacheModeOption::Discard, _) => CacheMode::Discard,
            (CacheModeOption::Auto, CacheShare::Virtiofs | CacheShare::Bind) | (CacheModeOption::Rw, _) => {
                CacheMode::Rw
            }
            (CacheModeOption::Ro, _) => CacheMode::Ro,
            (CacheModeOption::Commit, _) => CacheMode::Commit,
        };
        Some(Self::new(directory, mode, share, options.cache_sharing))
    }

    /// Whether what the build writes reaches the host directory as it is written.
    pub fn writes_through(&self) -> bool {
        self.access == Access::ReadWrite
    }

    /// Whether steps write into an overlay above the host directory.
    pub fn is_overlaid(&self) -> bool {
        self.access != self.step_access
    }

    /// Whether what the build wrote is merged into the host directory when it has succeeded.
    pub fn commits(&self) -> bool {
        self.mode == CacheMode::Commit
    }

    /// Whether anything that the build writes can stay in the host directory.
    pub fn keeps(&self) -> bool {
        self.writes_through() || self.commits()
    }

    /// Whether what the build wrote is thrown away when it has ended so.
    pub fn discards(&self, succeeded: bool) -> bool {
        self.is_overlaid() && !(self.commits() && succeeded)
    }

    /// Whether a virtiofsd serves it.
    pub fn has_daemon(&self) -> bool {
        self.share == CacheShare::Virtiofs
    }
}

/// The cache as steps see it, from the directory that holds it.
pub(crate) fn mounts(share: &str, cache: &CacheMount, owner: Owner, options: &OverlayOptions) -> Vec<Mount> {
    let target = format!("{ROOT}{CACHE}");
    let options = options.of_cache(cache);
    let layered = |target: &str| guest_config::overlay(&[share], "cache", target, owner.ids(), options);
    let bind = |source: &str, access| Mount::Bind { source: source.into(), target: target.clone(), access };
    let merged = format!("{SHARES}/merged");
    // What others commit meanwhile is nobody's to see. In the upper directory, where a commit passes it over.
    let hidden = || Mount::Whiteouts {
        directory: format!("{SCRATCH}/cache/upper"),
        like: share.into(),
        paths: vec![STAGING.into()],
    };
    let masked = Mount::MaskPath { path: format!("{target}/{STAGING}") };
    let (mut mounts, writable) = match (cache.access, cache.step_access) {
        (Access::ReadWrite, _) => (vec![bind(share, Access::ReadWrite), masked], &target),
        (Access::ReadOnly, Access::ReadWrite) => (vec![hidden(), layered(&target)], &target),
        // The agent may make what is missing in a layer of its own; steps see it read-only.
        (Access::ReadOnly, Access::ReadOnly) => {
            (vec![hidden(), layered(&merged), bind(&merged, Access::ReadOnly)], &merged)
        }
    };
    mounts.extend(cargo::home(&cargo::Cache { writable, mounted: &target, cache }, owner));
    mounts
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
            assert_eq!(private.sharing, CacheSharing::Private, "what is asked for wins");
        }
    }
}
