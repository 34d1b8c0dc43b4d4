//! The host's files as dockerd sees them: in its own mount namespace, which need not be kiln's (a service with a private `/tmp`).
//!
//! Before it: paths of a plan. After it: paths and descriptors that mean the same to dockerd. It mounts what lies in its own
//! namespace alone, so that a directory is opened there; where the two see different things, nothing is built.

use std::{
    fs::{self, Metadata},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{fs::MetadataExt, net::UnixStream},
    },
    path::Path,
};

use anyhow::{Context, Result};
use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2},
    sys::{
        socket::{getsockopt, sockopt::PeerCredentials},
        stat::Mode,
    },
};

use crate::exit::Failure;

/// Where dockerd looks up the paths that it is told.
#[derive(Debug)]
pub(super) enum MountNamespace {
    /// Where kiln does, as far as can be told: an ordinary user may not look.
    Own,
    /// Below this root, which lies in another mount namespace.
    Other(OwnedFd),
}

impl MountNamespace {
    /// That of whoever listens at an endpoint.
    pub(super) fn of(endpoint: &str) -> Result<Self> {
        let Some(socket) = endpoint.strip_prefix("unix://") else { return Ok(Self::Own) };
        // Where nobody answers any more, the next one who asks says so.
        let Ok(stream) = UnixStream::connect(socket) else { return Ok(Self::Own) };
        let listener = getsockopt(&stream, PeerCredentials).context("ask who listens there")?.pid();
        let namespace = |process: &str| fs::metadata(format!("/proc/{process}/ns/mnt")).ok();
        match (namespace(&listener.to_string()), namespace("self")) {
            (Some(theirs), Some(ours)) if !is_same_inode(&theirs, &ours) => {
                let root = Path::new("/proc").join(listener.to_string()).join("root");
                let root = open(&root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
                Ok(Self::Other(root.context("open the root of the docker daemon")?))
            }
            (_, _) => Ok(Self::Own),
        }
    }

    /// The directory that dockerd finds at `path`.
    pub(super) fn open(&self, path: &Path) -> nix::Result<OwnedFd> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match self {
            Self::Own => open(path, flags, Mode::empty()),
            Self::Other(root) => look_up(root, path, flags),
        }
    }

    /// Sees to it that dockerd finds at `path` what kiln does.
    pub(super) fn check(&self, path: &Path) -> Result<()> {
        let Self::Other(root) = self else { return Ok(()) };
        let ours = fs::metadata(path).with_context(|| format!("look at {}", path.display()))?;
        let theirs = look_up(root, path, OFlag::O_PATH | OFlag::O_CLOEXEC).ok();
        let theirs =
            theirs.and_then(|found| fs::metadata(format!("/proc/self/fd/{}", found.as_raw_fd())).ok());
        if theirs.is_some_and(|theirs| is_same_inode(&theirs, &ours)) {
            return Ok(());
        }
        Err(Failure::host(
            format!(
                "the docker daemon is in another mount namespace than kiln, and does not find there what kiln does at {}",
                path.display()
            ),
            "run kiln where the daemon runs, or have it lie where both see it",
        )
        .into())
    }
}

fn look_up(root: &OwnedFd, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    openat2(root, path, OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT))
}

fn is_same_inode(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}
