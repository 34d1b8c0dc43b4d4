//! Directories below a directory that builds write to: opened without following a link, and kept open until docker has mounted
//! them.
//!
//! A build can replace Cargo's directory with a link, even while another build starts. So dockerd mounts the path of a descriptor
//! in /proc. An idmapped layer has no other path, either.

use std::{
    collections::BTreeMap,
    fs,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use nix::{
    errno::Errno,
    fcntl::{OFlag, openat},
    sys::stat::{Mode, mkdirat},
    unistd::Uid,
};

use super::{daemon_mntns::MountNamespace, files::binds};
use crate::{
    exit::{Code, Failure},
    plan::{Bind, BindSource, Owner, Plan, Upper, Writes},
    process::{IdMap, idmapped},
};

const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
/// The mode of new directories.
const MODE: Mode = Mode::from_bits_truncate(0o755);
/// `PROC_PID_INIT_INO` of linux/proc_ns.h: the inode of the machine's first pid namespace.
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The open directories of a plan.
#[derive(Debug, Default)]
pub(super) struct BindFds {
    /// Their paths for dockerd, by the number of their bind.
    pub(super) paths: BTreeMap<usize, PathBuf>,
    /// Why the cache is copied up, if an idmapped layer would have avoided it.
    pub(super) why_copied: Option<String>,
    /// The descriptors of the paths.
    _fds: Vec<OwnedFd>,
}

impl BindFds {
    /// Opens the directories, and makes missing ones. `empty` takes the place of a missing directory that may not be made.
    pub(super) fn of(plan: &Plan, empty: &Path, daemon_mntns: &MountNamespace) -> Result<Self> {
        let (mut paths, mut fds, mut why_copied) = (BTreeMap::new(), Vec::new(), None);
        for (at, Bind { source, writes, .. }) in binds(plan) {
            if let (BindSource::Directory(lower), Writes::Overlaid(overlay)) = (source, writes)
                && let Some(layer) = idmapped_layer(lower, empty, daemon_mntns, plan.owner)
            {
                match layer {
                    Ok((path, fd)) => {
                        paths.insert(at, path);
                        fds.push(fd);
                    }
                    Err(why) if overlay.upper == Upper::Read => why_copied = Some(format!("{why:#}")),
                    Err(why) => {
                        tracing::debug!(?lower, %why, "the agent changes its owner to the step's user")
                    }
                }
            }
            let BindSource::Below { directory, path } = source else { continue };
            let whole = directory.join(path);
            let start =
                daemon_mntns.open(directory).with_context(|| format!("open {}", directory.display()))?;
            let made = open_below(start, Path::new(path), *writes == Writes::Through).with_context(|| {
                Failure::new(
                    Code::Cache,
                    format!("{} cannot be opened as a directory", whole.display()),
                    "a link or file in its place is not followed: remove it",
                )
            })?;
            let path = match made {
                Some(fd) => {
                    let path = dockerd_path(&fd, whole);
                    fds.push(fd);
                    path
                }
                None => {
                    fs::create_dir_all(empty).with_context(|| format!("make {}", empty.display()))?;
                    empty.to_owned()
                }
            };
            paths.insert(at, path);
        }
        Ok(Self { paths, why_copied, _fds: fds })
    }
}

/// An idmapped layer, whose files of root belong to the step's user, so that the agent need not change their owners. `None` if the
/// user is the same, or if kiln is not root.
fn idmapped_layer(
    lower: &Path,
    empty: &Path,
    daemon_mntns: &MountNamespace,
    owner: Owner,
) -> Option<Result<(PathBuf, OwnedFd)>> {
    if !Uid::effective().is_root() || owner.uid == owner.guest_uid {
        return None;
    }
    Some((|| {
        ensure!(
            matches!(daemon_mntns, MountNamespace::Own),
            "the docker daemon is in another mount namespace"
        );
        let directory = daemon_mntns.open(lower).with_context(|| format!("open {}", lower.display()))?;
        fs::create_dir_all(empty).with_context(|| format!("make {}", empty.display()))?;
        let below = daemon_mntns.open(empty).with_context(|| format!("open {}", empty.display()))?;
        let fd = idmapped(&directory, IdMap::swap(owner.guest_uid, owner.guest_gid)?, &below)?;
        let path = proc_path(&fd).context("the docker daemon is in another pid namespace")?;
        Ok((path, fd))
    })())
}

/// The path for dockerd of an open directory, whose own path is `path`.
fn dockerd_path(fd: &OwnedFd, path: PathBuf) -> PathBuf {
    // In another pid namespace dockerd cannot use /proc of this one.
    proc_path(fd).unwrap_or(path)
}

/// The descriptor's path in /proc; `None` in a pid namespace that is not the machine's first one.
fn proc_path(fd: &OwnedFd) -> Option<PathBuf> {
    let namespace = fs::metadata("/proc/self/ns/pid").ok()?.ino();
    let path = format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd());
    (namespace == FIRST_PID_NAMESPACE).then(|| path.into())
}

/// The directory at `path` below an open one; `None` if it is missing and not made.
fn open_below(mut directory: OwnedFd, path: &Path, make: bool) -> nix::Result<Option<OwnedFd>> {
    for part in path.components() {
        let Component::Normal(name) = part else { return Err(Errno::EINVAL) };
        if make {
            match mkdirat(&directory, name, MODE) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error),
            }
        }
        directory = match openat(&directory, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(error),
        };
    }
    Ok(Some(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_is_followed_and_directories_are_made_only_on_request() {
        let work = tempfile::tempdir().expect("a directory");
        let start = || MountNamespace::Own.open(work.path()).expect("opened");
        let path = Path::new("cargo/registry");
        assert!(open_below(start(), path, false).expect("looked").is_none());
        assert!(!work.path().join("cargo").exists());
        assert!(open_below(start(), path, true).expect("made").is_some());
        assert!(open_below(start(), path, false).expect("looked").is_some());
        for (name, link) in [("cargo/git", "/etc"), ("other", "cargo")] {
            std::os::unix::fs::symlink(link, work.path().join(name)).expect("linked");
        }
        for path in ["cargo/git", "other/registry"] {
            for make in [false, true] {
                assert!(open_below(start(), Path::new(path), make).is_err(), "{path} {make}");
            }
        }
        assert!(open_below(start(), Path::new("../x"), true).is_err());
    }
}
