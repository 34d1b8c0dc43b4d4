//! The directory of one run, and scratch files without a name.
//!
//! Before it: [`crate::home`]. After it: sockets, logs and other files of one run. It is removed with the run: by [`Drop`], by the
//! reaper when kiln was killed, by [`sweep`] at the next start after a power cut. No guest can write to it.

use std::{
    fs::{self, DirBuilder, File},
    io::ErrorKind,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use tracing::warn;

use crate::{
    env::Env,
    exit::Failure,
    home::{self, Home},
    process::{self, RemovalAtEnd, Spawner},
};

/// The directory of [`Home`] below which each run has its own.
const RUNS: &str = "run";

/// The directory of [`Home`] for run directories that are kept.
const KEPT: &str = "kept";

/// How many of them are kept, as many as logs of builds.
const MOST_KEPT: usize = 20;

/// The link in a run's directory to its scratch directory elsewhere, where it has one.
pub const SCRATCH_LINK: &str = "scratch";

/// The prefix of links in a run's directory to its control groups, where it has some.
pub const CGROUP_LINK: &str = "cgroup";

/// The file in a run's directory that is locked for as long as the run lives.
const LOCK: &str = "lock";

/// One run's directory (0700); removed when dropped.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    kept: PathBuf,
    removal: RemovalAtEnd,
    // Last: a process that gets the lock may remove the directory.
    _lock: Flock<File>,
}

impl RunDir {
    /// Makes one, and registers it with the reaper.
    pub fn create(home: &Home, spawner: &Spawner) -> Result<Self> {
        let runs = home.dir(RUNS)?;
        let _all = lock_all(&runs)?;
        let path = tempfile::Builder::new()
            .prefix(&format!("{}-", std::process::id()))
            .tempdir_in(&runs)
            .with_context(|| format!("make a directory in {}", runs.display()))?
            .keep();
        let removal = spawner.remove_at_end(&path);
        let lock = lock(&path.join(LOCK), FlockArg::LockExclusiveNonblock)?
            .with_context(|| format!("lock {}, which was just made", path.display()))?;
        let kept = home.root().join(KEPT);
        Ok(Self { path, kept, removal, _lock: lock })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A directory below it, made (0700).
    pub fn dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        DirBuilder::new().mode(0o700).create(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }

    /// Moves it to the directory of kept ones; returns its new path.
    pub fn keep(self) -> Result<PathBuf> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.kept)
            .context("make the directory of kept runs")?;
        let target = self.kept.join(self.path.file_name().expect("it was made with a name"));
        fs::rename(&self.path, &target).with_context(|| format!("keep {}", self.path.display()))?;
        home::bound(&self.kept, MOST_KEPT, is_dead)?;
        Ok(target)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                warn!(path = ?self.path, %error, "not removed")
            }
            Ok(()) | Err(_) => self.removal.forget(&self.path),
        }
    }
}

/// Removes the directories of runs that ended without doing so; returns their paths.
pub fn sweep(home: &Home) -> Result<Vec<PathBuf>> {
    let runs = home.dir(RUNS)?;
    let _all = lock_all(&runs)?;
    let mut swept = Vec::new();
    for entry in fs::read_dir(&runs).with_context(|| format!("read {}", runs.display()))? {
        let entry = entry.with_context(|| format!("read {}", runs.display()))?;
        let is_dir =
            entry.file_type().with_context(|| format!("look at {}", entry.path().display()))?.is_dir();
        if is_dir && is_abandoned(&entry.path())? {
            for path in linked(&entry.path()) {
                process::remove(&path).with_context(|| format!("remove {}", path.display()))?;
            }
            match fs::remove_dir_all(entry.path()) {
                // Its reaper has removed it meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                removed => removed.with_context(|| format!("remove {}", entry.path().display()))?,
            }
            swept.push(entry.path());
        }
    }
    Ok(swept)
}

/// Other paths of a run, by its links: groups first, since their processes use the rest.
fn linked(run: &Path) -> Vec<PathBuf> {
    let cgroups =
        (0..).map(|at| run.join(format!("{CGROUP_LINK}-{at}"))).map_while(|link| fs::read_link(link).ok());
    cgroups.chain(fs::read_link(run.join(SCRATCH_LINK))).collect()
}

/// Whether the run with this directory has ended: the directory is gone, or not locked. A directory that this user may not read
/// counts as that of a living run.
pub fn is_dead(run: &Path) -> bool {
    run.is_absolute() && is_abandoned(run).unwrap_or(false)
}

/// A directory without a lock file is being removed, by its reaper or by another sweep.
fn is_abandoned(run: &Path) -> Result<bool> {
    let path = run.join(LOCK);
    match File::options().write(true).open(&path) {
        Ok(file) => Ok(lock_file(file, &path, FlockArg::LockExclusiveNonblock)?.is_some()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).with_context(|| format!("open {}", path.display())),
    }
}

/// The lock of all runs: no sweep may look at a directory before its lock is made.
fn lock_all(runs: &Path) -> Result<Flock<File>> {
    lock(&runs.join(LOCK), FlockArg::LockExclusive)?.context("wait for the lock of all runs")
}

/// `None` when another process has it.
fn lock(path: &Path, how: FlockArg) -> Result<Option<Flock<File>>> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    lock_file(file.with_context(|| format!("open {}", path.display()))?, path, how)
}

fn lock_file(file: File, path: &Path, how: FlockArg) -> Result<Option<Flock<File>>> {
    match Flock::lock(file, how) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

/// The directory of scratch disks and memory files: `$QEMU_DISKS_PATH`, else `$TMPDIR`, else `/var/tmp`. Not `$XDG_RUNTIME_DIR`,
/// which is a small tmpfs, nor the working directory.
pub fn scratch_dir(env: &Env) -> &Path {
    scratch_variable(env).and_then(|variable| env.path(variable)).unwrap_or(Path::new("/var/tmp"))
}

/// The variable that sets it, if one does.
pub fn scratch_variable(env: &Env) -> Option<&'static str> {
    ["QEMU_DISKS_PATH", "TMPDIR"].into_iter().find(|variable| env.get(variable).is_some())
}

/// A sparse file of `bytes` bytes in `dir`, without a name: it is removed when no process has it open.
pub fn scratch_file(dir: &Path, bytes: u64) -> Result<OwnedFd> {
    let file = tempfile::tempfile_in(dir).and_then(|file| file.set_len(bytes).map(|()| file));
    file.map(OwnedFd::from).map_err(|error| no_scratch_file(dir, bytes, &error).into())
}

/// The error for a scratch file that cannot be made.
pub fn no_scratch_file(dir: &Path, bytes: u64, error: &std::io::Error) -> Failure {
    Failure::host(
        format!("a scratch file of {bytes} bytes cannot be made in {}: {error}", dir.display()),
        "Set QEMU_DISKS_PATH to a directory that this user can write, on a file system with space.",
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn scratch_goes_to_the_directory_of_the_first_variable() {
        for (variables, dir) in [
            (vec![("QEMU_DISKS_PATH", "/d"), ("TMPDIR", "/t")], "/d"),
            (vec![("QEMU_DISKS_PATH", ""), ("TMPDIR", "/t")], "/t"),
            (vec![("XDG_RUNTIME_DIR", "/r")], "/var/tmp"),
        ] {
            assert_eq!(scratch_dir(&variables.into_iter().collect()), Path::new(dir));
        }
    }

    #[test]
    fn a_scratch_file_is_sparse_and_has_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::from(scratch_file(dir.path(), 50 << 30).unwrap());
        let metadata = file.metadata().unwrap();
        assert_eq!((metadata.len(), metadata.nlink()), (50 << 30, 0));
        assert!(metadata.blocks() < 64, "{} blocks", metadata.blocks());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let error = scratch_file(&dir.path().join("missing"), 1).unwrap_err();
        assert_eq!(crate::exit::code_of(&error), crate::exit::Code::Host);
    }
}
