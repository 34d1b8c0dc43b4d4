//! Looks up the paths of a guest's mounts, safe from links of the image, the source or the cache.
//!
//! The agent prepares a guest with rights that no step has. A link of the image is followed within the image, as it will be when
//! that is the root. Below all other mounts (source, cache, scratch directory) no link is followed: an earlier build may have left
//! one to the /proc in which nothing is masked yet.
//!
//! The result is a descriptor, so that a build that shares the cache cannot replace the file between lookup and mount.

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use kiln_protocol::Mount;
use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2},
    sys::stat::{Mode, mkdirat},
};

const PATH: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);
/// The mode of new directories; the agent's umask applies.
const MODE: Mode = Mode::from_bits_truncate(0o777);

/// Makes a directory of this name in another one.
type Make<'m> = dyn Fn(BorrowedFd<'_>, &Path) -> nix::Result<()> + 'm;

/// A file that was found: an O_PATH descriptor.
pub(crate) struct Found {
    link: String,
    _fd: OwnedFd,
}

impl Found {
    fn new(fd: OwnedFd) -> Self {
        let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
        Self { link, _fd: fd }
    }

    /// A path that leads to it after any rename. It does not show what is mounted on it later.
    pub(crate) fn path(&self) -> &str {
        &self.link
    }
}

/// The mounts of a guest so far.
pub(crate) struct Targets {
    /// The path of the later root; `None` once it is the root.
    root: Option<PathBuf>,
    /// Path and directory of each mount.
    mounted: Vec<(PathBuf, OwnedFd)>,
}

impl Targets {
    /// For a guest with these mounts. In a container the root is there already.
    pub(crate) fn new(mounts: &[Mount]) -> Self {
        let root = mounts.iter().find_map(|mount| match mount {
            Mount::Root { path } | Mount::Pivot { path } => Some(path.into()),
            _ => None,
        });
        Self { root, mounted: Vec::new() }
    }

    /// The file at an absolute path.
    pub(crate) fn find(&self, path: &str) -> Result<Found> {
        self.open(Path::new(path), PATH).map(Found::new).map_err(|errno| explained(errno, path))
    }

    /// The directory at an absolute path, if there is one and it can be reached.
    pub(crate) fn existing_directory(&self, path: &str) -> Option<Found> {
        self.open(Path::new(path), PATH | OFlag::O_DIRECTORY).ok().map(Found::new)
    }

    /// The directory at an absolute path; it and its parents are made where they are missing.
    pub(crate) fn directory(&self, path: &str) -> Result<Found> {
        self.directory_made_by(path, &|parent, name| mkdirat(parent, name, MODE))
    }

    /// As [`Self::directory`], but `make` makes missing directories.
    pub(crate) fn directory_made_by(&self, path: &str, make: &Make<'_>) -> Result<Found> {
        self.make(Path::new(path), make).map(Found::new).map_err(|errno| explained(errno, path))
    }

    fn make(&self, path: &Path, make: &Make<'_>) -> nix::Result<OwnedFd> {
        let flags = PATH | OFlag::O_DIRECTORY;
        match self.open(path, flags) {
            Err(Errno::ENOENT) => {}
            found => return found,
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::ENOENT) };
        let parent = self.make(parent, make)?;
        match make(parent.as_fd(), Path::new(name)) {
            // Another build that shares the cache was faster.
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        below(parent.as_fd(), Path::new(name), flags | OFlag::O_NOFOLLOW, ResolveFlag::RESOLVE_NO_SYMLINKS)
    }

    /// Registers a mount at a path.
    pub(crate) fn keep(&mut self, path: &str) -> Result<()> {
        let fd = self.open(Path::new(path), PATH).map_err(|errno| explained(errno, path))?;
        self.mounted.push((path.into(), fd));
        Ok(())
    }

    /// Registers that the later root is the root now.
    pub(crate) fn enter(&mut self) {
        let Some(root) = self.root.take() else { return };
        self.mounted.retain_mut(|(path, _)| match path.strip_prefix(&root) {
            Ok(inside) => {
                *path = Path::new("/").join(inside);
                true
            }
            Err(_) => false,
        });
    }

    fn open(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        let around = self.mounted.iter().filter(|(mount, _)| path.starts_with(mount));
        let is_root = |mount: &Path| self.root.as_deref().unwrap_or(Path::new("/")) == mount;
        match around.max_by_key(|(mount, _)| mount.components().count()) {
            Some((mount, fd)) => {
                let follow = if is_root(mount) { ResolveFlag::RESOLVE_IN_ROOT } else { strictly() };
                below(fd.as_fd(), path.strip_prefix(mount).unwrap_or(path), flags, follow)
            }
            None => {
                let root = open("/", PATH | OFlag::O_DIRECTORY, Mode::empty())?;
                let follow = if self.root.is_none() { ResolveFlag::RESOLVE_IN_ROOT } else { strictly() };
                below(root.as_fd(), path.strip_prefix("/").unwrap_or(path), flags, follow)
            }
        }
    }
}

/// Follows no link.
fn strictly() -> ResolveFlag {
    ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS
}

fn below(directory: BorrowedFd<'_>, path: &Path, flags: OFlag, follow: ResolveFlag) -> nix::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let how = OpenHow::new().flags(flags).resolve(follow | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    loop {
        match openat2(directory, path, how) {
            // A concurrent rename has disturbed the check.
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            result => return result,
        }
    }
}

fn explained(errno: Errno, path: &str) -> anyhow::Error {
    let error = anyhow::Error::new(errno);
    match errno {
        Errno::ELOOP | Errno::ENOTDIR | Errno::EEXIST => {
            error.context(format!("{path}: a link or file in the place of a directory is not followed"))
        }
        _ => error.context(format!("reach {path}")),
    }
}

/// The directory of this name in `root`, made if it is missing. A link is refused: it would lead around the mount there.
pub(crate) fn real_directory(root: &Path, name: &str) -> Result<PathBuf> {
    let path = root.join(name);
    let context = || format!("the image's /{name} is not a directory");
    let root = open(root, PATH | OFlag::O_DIRECTORY, Mode::empty())
        .with_context(|| format!("open {}", root.display()))?;
    match mkdirat(&root, name, MODE) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno).with_context(|| format!("make {}", path.display())),
    }
    below(root.as_fd(), Path::new(name), PATH | OFlag::O_DIRECTORY, strictly()).with_context(context)?;
    Ok(path)
}

/// The directory of this name in `root`, made if it is missing, for changes of its mode. Links are followed within `root`.
pub(crate) fn directory_within(root: &Path, name: &str) -> Result<OwnedFd> {
    let context = || format!("open the image's /{name}");
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = open(root, PATH | OFlag::O_DIRECTORY, Mode::empty()).with_context(context)?;
    match mkdirat(&root, name, MODE) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno).with_context(context),
    }
    below(root.as_fd(), Path::new(name), flags, ResolveFlag::RESOLVE_IN_ROOT).with_context(context)
}

#[cfg(test)]
#[path = "targets_tests.rs"]
mod tests;
