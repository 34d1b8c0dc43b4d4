//! The directory that packages are written to, as its user sees it: the check before a build, and the errors.

use std::{io, path::Path};

use anyhow::Result;
use nix::{
    fcntl::{AT_FDCWD, AtFlags},
    sys::statvfs::statvfs,
    unistd::{AccessFlags, faccessat},
};

use crate::exit::{Code, Failure};

/// The room that a build needs at least, in MiB: most packages are smaller, and less than this is a file system that is full.
const LEAST_MIB: u64 = 64;

/// Whether packages can be written to `out_dir`, which may not exist yet, and whether its file system has room: checked before a
/// build, whose result would be lost.
///
/// # Errors
/// A host failure with the path that cannot be written.
pub fn check_writable(out_dir: &Path) -> Result<()> {
    let existing = out_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    if !existing.is_dir() {
        return Err(unwritable(existing, &io::ErrorKind::NotADirectory.into()));
    }
    let access = AccessFlags::W_OK | AccessFlags::X_OK;
    faccessat(AT_FDCWD, existing, access, AtFlags::AT_EACCESS)
        .map_err(|error| unwritable(existing, &error.into()))?;
    check_room(existing)
}

/// A file system that does not tell its size, as some in user space, is not refused.
fn check_room(existing: &Path) -> Result<()> {
    let Ok(of) = statvfs(existing) else { return Ok(()) };
    let free = of.blocks_available().saturating_mul(of.fragment_size()) >> 20;
    if of.blocks() == 0 || free >= LEAST_MIB {
        return Ok(());
    }
    Err(Failure::host(
        format!(
            "packages need room in {}: its file system has {free} MiB left, and a build needs {LEAST_MIB} MiB at least",
            existing.display()
        ),
        "make room there, or name another directory with --out-dir",
    )
    .into())
}

/// The failure to write below `path`.
pub(super) fn unwritable(path: &Path, error: &io::Error) -> anyhow::Error {
    let what = format!("write packages to {}: {error}", path.display());
    let way_out = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room there, or name another directory with --out-dir"
        }
        io::ErrorKind::NotFound => "build again, and leave the directory where it is meanwhile",
        _ => "make it a directory that this user can write, or name another one with --out-dir",
    };
    Failure::new(Code::Host, what, way_out).into()
}
