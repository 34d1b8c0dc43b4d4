//! Directories in one that builds write to: opened without following a link, and kept open until docker has mounted them.
//!
//! A build may leave a link where Cargo's directory was, or put one there while another build starts. What dockerd is told to
//! mount is therefore not a name but the descriptor.

use std::{
    collections::BTreeMap,
    fs,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    fcntl::{OFlag, openat},
    sys::stat::{Mode, mkdirat},
};

use super::{argv::binds, view::View};
use crate::{
    exit::{Code, Failure},
    plan::{Bind, BindSource, Plan, Writes},
};

const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
/// The mode of what is made, and of what stands for what is missing.
const MODE: Mode = Mode::from_bits_truncate(0o755);
/// `PROC_PID_INIT_INO` of linux/proc_ns.h: the number of the pid namespace that a machine begins with.
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The directories of a plan that are open.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// As what dockerd is told of them, by the number of their bind.
    pub(super) paths: BTreeMap<usize, PathBuf>,
    /// What those paths lead through.
    _held: Vec<OwnedFd>,
}

impl Opened {
    /// Opens them, makes what is missing, and `empty`, which stands for what is missing and may not be made.
    pub(super) fn of(plan: &Plan, empty: &Path, view: &View) -> Result<Self> {
        let (mut paths, mut held) = (BTreeMap::new(), Vec::new());
        for (at, Bind { source, writes, .. }) in binds(plan) {
            let BindSource::Below { directory, path } = source else { continue };
            let whole = directory.join(path);
            let start = view.open(directory).with_context(|| format!("open {}", directory.display()))?;
            let made = below(start, Path::new(path), *writes == Writes::Through).with_context(|| {
                Failure::new(
                    Code::Cache,
                    format!("{} cannot be opened as a directory", whole.display()),
                    "a link or file in its place is not followed: remove it",
                )
            })?;
            let told = match made {
                Some(fd) => {
                    let told = told(&fd, whole);
                    held.push(fd);
                    told
                }
                None => {
                    fs::create_dir_all(empty).with_context(|| format!("make {}", empty.display()))?;
                    empty.to_owned()
                }
            };
            paths.insert(at, told);
        }
        Ok(Self { paths, _held: held })
    }
}

/// The descriptor's name in /proc, where dockerd, which is root of this machine, sees the same processes.
fn told(fd: &OwnedFd, path: PathBuf) -> PathBuf {
    let namespace = fs::metadata("/proc/self/ns/pid").map(|namespace| namespace.ino());
    match namespace {
        Ok(FIRST_PID_NAMESPACE) => format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()).into(),
        // What it was a moment ago is the best that can be said.
        Ok(_) | Err(_) => path,
    }
}

/// The directory at `path` below an open one; nothing where it is missing and not made.
fn below(mut reached: OwnedFd, path: &Path, make: bool) -> nix::Result<Option<OwnedFd>> {
    for part in path.components() {
        let Component::Normal(name) = part else { return Err(Errno::EINVAL) };
        if make {
            match mkdirat(&reached, name, MODE) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error),
            }
        }
        reached = match openat(&reached, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(error),
        };
    }
    Ok(Some(reached))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_is_followed_and_only_what_may_be_made_is() {
        let work = tempfile::tempdir().expect("a directory");
        let start = || View::Ours.open(work.path()).expect("opened");
        let path = Path::new("cargo/registry");
        assert!(below(start(), path, false).expect("looked").is_none());
        assert!(!work.path().join("cargo").exists());
        assert!(below(start(), path, true).expect("made").is_some());
        assert!(below(start(), path, false).expect("looked").is_some());
        for (place, link) in [("cargo/git", "/etc"), ("other", "cargo")] {
            std::os::unix::fs::symlink(link, work.path().join(place)).expect("linked");
        }
        for path in ["cargo/git", "other/registry"] {
            for make in [false, true] {
                assert!(below(start(), Path::new(path), make).is_err(), "{path} {make}");
            }
        }
        assert!(below(start(), Path::new("../x"), true).is_err());
    }
}
