//! A directory in a mount namespace, ours or another, and its mounts.
//!
//! The root may be that of an untrusted container: no path leads out of it, and no file is opened that could block.

use std::{
    ffi::CStr,
    fs,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use nix::{
    dir::{Dir, Type},
    fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::{Mode, SFlag, fstat, fstatat},
};

use crate::{
    before::Layers,
    held_open::mount_of,
    mountinfo::{self, Listed},
};

const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
const LISTED: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// How many entries, and how deep, are searched for a file. After that there may be one.
const LOOKS: usize = 1000;
const DEPTH: usize = 16;

/// A directory that is a mount point.
pub struct Directory {
    /// Its path as the kernel reports it to us: a prefix of the paths of its files.
    pub(crate) path: PathBuf,
    directory: OwnedFd,
    /// Its own mount, and those below it.
    pub(crate) mounts: Vec<Mount>,
    /// Its layers, if it is an overlay.
    pub(crate) layers: Option<Layers>,
}

/// A mount of the directory.
pub(crate) struct Mount {
    pub(crate) root: OwnedFd,
    /// Its mount id.
    pub(crate) id: u64,
    /// Whether it shows its whole file system.
    pub(crate) is_whole: bool,
    /// Whether it shows the file system of the directory, and not another one that covers a part of it.
    is_own: bool,
}

impl Directory {
    /// The directory at `path` below `root`; `mounts` is the `mountinfo` of a process with this root.
    ///
    /// # Errors
    /// When it cannot be opened, or is not a mount point.
    pub fn of(root: BorrowedFd<'_>, path: &Path, mounts: &str) -> Result<Self> {
        let directory = open(root, path)?;
        let (whole, top) = (name(directory.as_fd())?, name(root)?);
        let inside = Path::new("/").join(whole.strip_prefix(&top).unwrap_or(&whole));
        let device = fstat(&directory).context("look at it")?.st_dev;
        let below = mountinfo::mounts(mounts).filter(|mount| mount.target.starts_with(&inside));
        let mount = |Listed { target, is_whole }: Listed| {
            // A mount point that is a file, or is gone by now, is not part of a cache.
            let Ok(mount) = open(root, &target) else { return Ok(None) };
            let is_own = fstat(&mount).is_ok_and(|stat| stat.st_dev == device);
            anyhow::Ok(Some(Mount { id: mount_of(mount.as_fd())?, root: mount, is_whole, is_own }))
        };
        let mounts: Vec<Mount> = below.map(mount).filter_map(Result::transpose).collect::<Result<_>>()?;
        ensure!(!mounts.is_empty(), "{} is not a mount, and reads are counted by mount", path.display());
        Ok(Self { path: whole, directory, mounts, layers: None })
    }

    /// Sets the layers of its overlay.
    pub fn made_of(self, layers: Option<Layers>) -> Self {
        Self { layers, ..self }
    }

    /// The directory itself, which names no file of its own.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The layers, if an open file belongs to the overlay.
    pub(crate) fn layers_of(&self, file: BorrowedFd<'_>) -> Result<Option<&Layers>> {
        let id = mount_of(file)?;
        let is_foreign = self.mounts.iter().any(|mount| mount.id == id && !mount.is_own);
        Ok(self.layers.as_ref().filter(|_| !is_foreign))
    }

    /// A directory below it.
    pub(crate) fn open(&self, path: &Path) -> Result<OwnedFd> {
        open(self.directory.as_fd(), if path.as_os_str().is_empty() { Path::new(".") } else { path })
    }

    /// Whether there is a regular file, or may be one. Links are not followed.
    pub(crate) fn holds_a_file(&self) -> bool {
        let mut looks = LOOKS;
        holds_a_file(self.directory.as_fd(), c".", &mut looks, DEPTH)
    }
}

/// A directory below a root; links are followed within it.
///
/// # Errors
/// When it cannot be opened.
pub fn open(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(DIRECTORY)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(root, path, how).with_context(|| format!("open {}", path.display()))
}

/// The path of an open file as the kernel reports it.
pub(crate) fn name(file: BorrowedFd<'_>) -> Result<PathBuf> {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::read_link(&link).with_context(|| format!("read {link}"))
}

/// Whether there is a file in a directory or below it; an entry that cannot be read may be one.
fn holds_a_file(parent: BorrowedFd<'_>, name: &CStr, looks: &mut usize, depth: usize) -> bool {
    let Ok(mut directory) = Dir::openat(parent, name, LISTED, Mode::empty()) else { return true };
    let mut below = Vec::new();
    for entry in directory.iter() {
        let Ok(entry) = entry else { return true };
        match (entry.file_name().to_bytes(), entry.file_type()) {
            (b"." | b"..", _) => {}
            (_, None | Some(Type::Directory | Type::File)) if *looks == 0 => return true,
            (_, Some(Type::File)) => return true,
            (_, None | Some(Type::Directory)) => below.push(entry.file_name().to_owned()),
            (_, Some(_)) => {}
        }
        *looks = looks.saturating_sub(1);
    }
    below.iter().any(|name| match kind(directory.as_fd(), name) {
        Some(SFlag::S_IFDIR) => depth == 0 || holds_a_file(directory.as_fd(), name, looks, depth - 1),
        Some(kind) => kind == SFlag::S_IFREG,
        None => true,
    })
}

fn kind(parent: BorrowedFd<'_>, name: &CStr) -> Option<SFlag> {
    let stat = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
    Some(SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT)
}
