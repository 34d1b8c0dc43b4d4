//! Where a file lies in the directory in which is counted.

use std::{
    ffi::OsStr,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path, PathBuf},
};

use anyhow::{Result, bail};
use kiln_protocol::BY_HASH;
use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::{FileStat, fstat},
};

use crate::directory::{self, Directory};

/// How names begin that are hashes.
const HASHES: [&str; 2] = ["sha256:", "sha512:"];

/// What the kernel adds to the name of a file that has none any more.
const DELETED: &[u8] = b" (deleted)";

const ENTRY: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Where a file lies, or lay.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inside {
    pub(crate) path: PathBuf,
    pub(crate) is_deleted: bool,
}

impl Inside {
    /// Of an open file.
    ///
    /// # Errors
    /// Where it lies elsewhere, or its name does not say where.
    pub(crate) fn of(directory: &Directory, file: BorrowedFd<'_>) -> Result<Self> {
        let name = directory::name(file)?;
        let path = match name.strip_prefix(&directory.path) {
            Ok(path) => path,
            Err(_) => by_mount(directory, &name, file)?,
        };
        let bytes = path.as_os_str().as_bytes();
        Ok(match bytes.strip_suffix(DELETED) {
            // A file may be called so.
            Some(rest) if entry(directory.as_fd(), path)?.is_none() => {
                Self { path: OsStr::from_bytes(rest).into(), is_deleted: true }
            }
            Some(_) | None => Self { path: path.into(), is_deleted: false },
        })
    }

    /// The first component of the path, or what stands for it where the file lies in the directory itself.
    pub(crate) fn first_component(&self) -> Vec<u8> {
        let is_by_hash = |name: &[u8]| HASHES.iter().any(|hash| name.starts_with(hash.as_bytes()));
        let mut components = self.path.components();
        match (components.next(), components.next()) {
            (Some(Component::Normal(first)), Some(_)) => first.as_bytes().to_vec(),
            (Some(Component::Normal(name)), None) if is_by_hash(name.as_bytes()) => BY_HASH.into(),
            _ => Vec::new(),
        }
    }
}

/// The name of a file in a mount namespace that is gone begins at its mount: if that showed the directory, it is the path.
fn by_mount<'n>(directory: &Directory, name: &'n Path, file: BorrowedFd<'_>) -> Result<&'n Path> {
    let number = |stat: FileStat| (stat.st_dev, stat.st_ino);
    let path = name.strip_prefix("/")?;
    match entry(directory.as_fd(), path)? {
        Some((_, found)) if number(found) == number(fstat(file)?) => Ok(path),
        Some(_) | None => bail!("{} lies elsewhere", name.display()),
    }
}

/// What bears a name below a directory; not through links.
pub(crate) fn entry(directory: BorrowedFd<'_>, path: &Path) -> Result<Option<(OwnedFd, FileStat)>> {
    let how =
        OpenHow::new().flags(ENTRY).resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(directory, path, how) {
        Ok(file) => {
            let stat = fstat(&file)?;
            Ok(Some((file, stat)))
        }
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
