//! The directory in which a root is put together: made, locked while it is used, and removed with files of any owner.
//!
//! Only its maker's user can enter it, for it may hold set-uid programs. flock(2) distinguishes a directory in use from
//! one of a killed kiln; the reaper holds the lock, too, so that it ends with the last process of the run.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::ErrorKind,
    os::{
        fd::AsFd,
        unix::{
            ffi::OsStrExt,
            fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
        },
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    libc,
    unistd::geteuid,
};

use crate::process::{RemovalAtEnd, Spawner, detach_below, remove};

/// The prefixes of their names in the directory for scratch files.
pub(super) const PREFIXES: [&str; 2] = ["kiln-image-", "kiln-apt-"];

/// A staging directory in use.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    at_end: RemovalAtEnd,
    // Released last: until then no sweep takes the directory for a leftover.
    _lock: Flock<File>,
}

impl Staging {
    /// Makes `path`, which is removed at the end of this run.
    pub(super) fn make(path: &Path, spawner: &Spawner) -> Result<Self> {
        let context = || format!("make {}", path.display());
        let at_end = spawner.remove_at_end(path);
        loop {
            DirBuilder::new()
                .mode(0o700)
                .create(path)
                // An existing one is not this run's: it must not be removed.
                .inspect_err(|_| at_end.forget(path))
                .with_context(context)?;
            let lock =
                lock(open(path).with_context(context)?, FlockArg::LockExclusive).with_context(context)?;
            // A sweep may have had it first.
            let is_there = lock.as_ref().zip(fs::metadata(path).ok()).is_some_and(|(lock, there)| {
                lock.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
            });
            if let Some(lock) = lock.filter(|_| is_there) {
                spawner.hold(lock.as_fd());
                return Ok(Self { path: path.into(), at_end, _lock: lock });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it.
    pub(super) fn remove(self) -> Result<()> {
        let Self { path, at_end, _lock } = self;
        remove(&path).with_context(|| format!("remove {}", path.display()))?;
        at_end.forget(&path);
        Ok(())
    }
}

/// Removes the staging directories in `scratch` that no kiln uses, also those of versions that mounted in them.
pub(super) fn sweep(scratch: &Path) -> Result<()> {
    let entries = match fs::read_dir(scratch) {
        Ok(entries) => entries,
        // Nothing has been made there yet.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("read {}", scratch.display())),
    };
    for entry in entries {
        let path = entry.with_context(|| format!("read {}", scratch.display()))?.path();
        if is_name(&path) {
            sweep_one(&path)?;
        }
    }
    Ok(())
}

/// Removes `path` if it is a staging directory that no kiln uses. Links are not followed, and mounts in it are detached before,
/// never emptied.
pub(super) fn sweep_one(path: &Path) -> Result<()> {
    let context = || format!("remove the directory of an interrupted kiln: {}", path.display());
    if !is_name(path) {
        return Ok(());
    }
    let directory = match open(path) {
        Ok(directory) => directory,
        Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
            return Ok(());
        }
        // A link; or another user's.
        Err(error) if [Some(libc::ELOOP), Some(libc::EACCES)].contains(&error.raw_os_error()) => {
            return Ok(());
        }
        Err(error) => return Err(error).with_context(context),
    };
    if directory.metadata().with_context(context)?.uid() != geteuid().as_raw() {
        return Ok(());
    }
    let Some(_lock) = lock(directory, FlockArg::LockExclusiveNonblock).with_context(context)? else {
        return Ok(());
    };
    // Without links in it, as the kernel names mounts.
    let parent = path.parent().unwrap_or(Path::new("/"));
    let path = fs::canonicalize(parent).with_context(context)?.join(path.file_name().unwrap_or_default());
    if is_used(&path) {
        return Ok(());
    }
    detach_below(&path).with_context(context)?;
    remove(&path).with_context(context)
}

/// Whether a process uses it: older versions took no lock, but set `TMPDIR` of mmdebstrap to it, and packed it as their
/// working directory.
fn is_used(path: &Path) -> bool {
    let variable = [b"TMPDIR=", path.as_os_str().as_bytes()].concat();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    // Of other users' processes, and of those that have ended meanwhile, nothing can be read.
    processes.into_iter().any(|process| {
        let link =
            |name: &str| fs::read_link(process.join(name)).is_ok_and(|target| target.starts_with(path));
        let told = || {
            fs::read(process.join("environ")).is_ok_and(|text| text.split(|b| *b == 0).any(|v| v == variable))
        };
        link("cwd") || link("root") || told()
    })
}

fn is_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path)
}

fn lock(directory: File, how: FlockArg) -> nix::Result<Option<Flock<File>>> {
    match Flock::lock(directory, how) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error),
    }
}
