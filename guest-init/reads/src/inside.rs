//! The path of a file in the directory whose reads are counted.

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

/// Prefixes of names that are hashes.
const HASHES: [&str; 2] = ["sha256:", "sha512:"];

/// The suffix that the kernel adds to the name of a deleted file.
const DELETED: &[u8] = b" (deleted)";

const ENTRY: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The path of a file, or its former path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inside {
    pub(crate) path: PathBuf,
    pub(crate) is_deleted: bool,
}

impl Inside {
    /// Of an open file.
    ///
    /// # Errors
    /// When it lies elsewhere, or its path is not known.
    pub(crate) fn of(directory: &Directory, file: BorrowedFd<'_>) -> Result<Self> {
        let name = directory::name(file)?;
        let path = match name.strip_prefix(&directory.path) {
            Ok(path) => path,
            Err(_) => by_mount(directory, &name, file)?,
        };
        let bytes = path.as_os_str().as_bytes();
        Ok(match bytes.strip_suffix(DELETED) {
            // A file may have such a name.
            Some(rest) if entry(directory.as_fd(), path)?.is_none() => {
                Self { path: OsStr::from_bytes(rest).into(), is_deleted: true }
            }
            Some(_) | None => Self { path: path.into(), is_deleted: false },
        })
    }

    /// The first component of the path, or its substitute for files in the directory itself.
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

/// The name of a file in a deleted mount namespace begins at its mount. If the mount showed the directory, the name is the path.
fn by_mount<'n>(directory: &Directory, name: &'n Path, file: BorrowedFd<'_>) -> Result<&'n Path> {
    let number = |stat: FileStat| (stat.st_dev, stat.st_ino);
    let path = name.strip_prefix("/")?;
    match entry(directory.as_fd(), path)? {
        Some((_, found)) if number(found) == number(fstat(file)?) => Ok(path),
        Some(_) | None => bail!("{} lies elsewhere", name.display()),
    }
}

/// The file at a path below a directory; links are not followed.
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
