//! The scratch directory of a sandbox: private, on a disk, removed with the run.

use std::{
    ffi::OsStr,
    fs::DirBuilder,
    os::unix::fs::{DirBuilderExt, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::sys::statvfs::statvfs;

use crate::{
    exit::Failure,
    process::{self, RemovalAtEnd, Spawner},
    rundir::SCRATCH_LINK,
};

/// A file system with fewer free bytes counts as full.
const FULL_BYTES: u64 = 64 * 1024;

/// The directory. If it is dropped, the reaper removes it.
pub struct Scratch {
    path: PathBuf,
    removal: RemovalAtEnd,
}

impl Scratch {
    /// Makes a directory below `directory`, and a link to it in the run's directory: the next start of kiln removes a directory
    /// that is left after a power cut.
    ///
    /// # Errors
    /// A host failure when the directory cannot be written.
    pub fn make(directory: &Path, run_dir: &Path, spawner: &Spawner) -> Result<Self> {
        let directory =
            std::path::absolute(directory).with_context(|| format!("find {}", directory.display()))?;
        let random = run_dir.file_name().unwrap_or(OsStr::new("run")).to_string_lossy().into_owned();
        let path = directory.join(format!("kiln-sandbox-{random}"));
        // The link and the reaper's record come before the directory.
        symlink(&path, run_dir.join(SCRATCH_LINK)).context("write down the scratch directory")?;
        let removal = spawner.remove_at_end(&path);
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
            Failure::host(
                format!("{} cannot be made: {error}", path.display()),
                "Set QEMU_DISKS_PATH to a directory that this user can write, on a file system with space.",
            )
        })?;
        Ok(Self { path, removal })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its file system is full. On an error it is not.
    pub(super) fn is_full(&self) -> bool {
        statvfs(&self.path).is_ok_and(|stats| {
            // Some file systems allocate inodes on demand, and report no number.
            let no_inode = stats.files() > 0 && stats.files_available() == 0;
            no_inode || stats.blocks_available().saturating_mul(stats.fragment_size()) < FULL_BYTES
        })
    }

    /// Removes it.
    pub(super) fn remove(&mut self) -> Result<()> {
        process::remove(&self.path).with_context(|| format!("remove {}", self.path.display()))?;
        self.removal.forget(&self.path);
        Ok(())
    }
}
