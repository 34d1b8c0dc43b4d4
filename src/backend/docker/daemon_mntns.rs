//! The mount namespace of dockerd, which can differ from kiln's (a service with a private `/tmp`).
//!
//! Before it: paths of a plan. After it: paths and descriptors that are the same directories for dockerd. dockerd can mount only
//! directories of its own namespace, so they are opened there. If a path is another directory there, the build fails.

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

/// The mount namespace in which dockerd resolves paths.
#[derive(Debug)]
pub(super) enum MountNamespace {
    /// That of kiln. An ordinary user, who cannot read dockerd's namespace, assumes it.
    Own,
    /// Another one, with this root.
    Other(OwnedFd),
}

impl MountNamespace {
    /// The namespace of the process that listens at an endpoint.
    pub(super) fn of(endpoint: &str) -> Result<Self> {
        let Some(socket) = endpoint.strip_prefix("unix://") else { return Ok(Self::Own) };
        // A missing daemon is reported by the next request.
        let Ok(stream) = UnixStream::connect(socket) else { return Ok(Self::Own) };
        let listener =
            getsockopt(&stream, PeerCredentials).context("read the pid of the docker daemon")?.pid();
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

    /// Checks that `path` is the same file for dockerd and for kiln.
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
                "the docker daemon is in another mount namespace than kiln, in which {} is another file or missing",
                path.display()
            ),
            "run kiln in the mount namespace of the daemon, or use a directory that both see",
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
