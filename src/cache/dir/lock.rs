//! Locks on files that end with their last holder: open file description locks (fcntl(2), `F_OFD_SETLK`).
//!
//! A child that inherits the descriptor holds the same lock, and nothing is stale after `kill -9`. Unlike flock(2) a shared
//! lock can be made an exclusive one without being given up in between.

use std::{
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};

/// The mode of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Other holders may share it.
    Shared,
    /// There is no other holder.
    Exclusive,
}

/// Whether the lock was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) enum TryLock {
    Yes,
    No,
}

/// A file to lock.
#[derive(Debug)]
pub(in crate::cache) struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// Opens it, and makes it if it is missing.
    pub(in crate::cache) fn open(path: &Path) -> Result<Self> {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path);
        Ok(Self { file: file.with_context(|| format!("open {}", path.display()))?, path: path.to_owned() })
    }

    /// Makes and locks a file whose lock says that its maker lives. Another process removes such files when they are not
    /// locked, perhaps between the two calls here: then it is made again.
    pub(in crate::cache) fn hold(path: &Path) -> Result<Self> {
        loop {
            let lock = Self::open(path)?;
            if lock.try_lock(LockMode::Exclusive)? == TryLock::Yes && lock.is_current()? {
                return Ok(lock);
            }
        }
    }

    /// Locks it if that is possible at once; if not, a lock that was held stays.
    pub(in crate::cache) fn try_lock(&self, lock_mode: LockMode) -> Result<TryLock> {
        match set(&self.file, FcntlArg::F_OFD_SETLK(&description(kind(lock_mode)))) {
            Ok(()) => Ok(TryLock::Yes),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(TryLock::No),
            Err(error) => Err(error).with_context(|| format!("lock {}", self.path.display())),
        }
    }

    /// Locks it, and waits without a limit.
    pub(in crate::cache) fn lock(&self, lock_mode: LockMode) -> Result<()> {
        set(&self.file, FcntlArg::F_OFD_SETLKW(&description(kind(lock_mode))))
            .with_context(|| format!("lock {}", self.path.display()))
    }

    /// Unlocks it.
    pub(in crate::cache) fn unlock(&self) -> Result<()> {
        set(&self.file, FcntlArg::F_OFD_SETLK(&description(libc::F_UNLCK)))
            .with_context(|| format!("unlock {}", self.path.display()))
    }

    /// Whether another open file description holds it.
    pub(in crate::cache) fn is_held(&self) -> Result<bool> {
        let mut asked = description(libc::F_WRLCK);
        set(&self.file, FcntlArg::F_OFD_GETLK(&mut asked))
            .with_context(|| format!("ask for the lock of {}", self.path.display()))?;
        Ok(i32::from(asked.l_type) != libc::F_UNLCK)
    }

    /// Whether the file still has its name: it may have been removed before it was locked.
    pub(in crate::cache) fn is_current(&self) -> Result<bool> {
        let metadata = self.file.metadata();
        Ok(metadata.with_context(|| format!("look at {}", self.path.display()))?.nlink() > 0)
    }

    /// A descriptor of the same lock, for a child. The lock ends with the last descriptor.
    pub(in crate::cache) fn share(&self) -> io::Result<std::os::fd::OwnedFd> {
        self.file.as_fd().try_clone_to_owned()
    }

    pub(in crate::cache) fn file(&self) -> &File {
        &self.file
    }

    pub(in crate::cache) fn path(&self) -> &Path {
        &self.path
    }
}

fn set(file: &File, command: FcntlArg) -> nix::Result<()> {
    let result = fcntl(file, command);
    result.map(drop)
}

fn kind(lock_mode: LockMode) -> i32 {
    match lock_mode {
        LockMode::Shared => libc::F_RDLCK,
        LockMode::Exclusive => libc::F_WRLCK,
    }
}

/// All of a file.
fn description(kind: i32) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).expect("lock kinds are 0, 1 and 2"),
        l_whence: i16::try_from(libc::SEEK_SET).expect("it is 0"),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_lock_is_kept_when_it_cannot_become_exclusive() {
        let dir = tempfile::tempdir().expect("a directory");
        let open = || LockFile::open(&dir.path().join("lock")).expect("opened");
        let (a, b, c) = (open(), open(), open());
        for lock in [&a, &b] {
            assert_eq!(lock.try_lock(LockMode::Shared).expect("tried"), TryLock::Yes);
        }
        assert_eq!(a.try_lock(LockMode::Exclusive).expect("tried"), TryLock::No);
        assert_eq!(c.try_lock(LockMode::Exclusive).expect("tried"), TryLock::No, "a still has its share");
        drop(b);
        assert_eq!(a.try_lock(LockMode::Exclusive).expect("tried"), TryLock::Yes);
        assert_eq!(c.try_lock(LockMode::Shared).expect("tried"), TryLock::No);
    }

    #[test]
    fn a_file_that_is_removed_before_it_is_locked_is_made_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lock");
        let early = LockFile::open(&path).expect("opened");
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(
            early.try_lock(LockMode::Exclusive).expect("tried"),
            TryLock::Yes,
            "of a file that has no name"
        );
        let held = LockFile::hold(&path).expect("held");
        assert!(LockFile::open(&path).expect("opened").is_held().expect("asked"));
        assert_eq!(held.path(), path);
    }

    #[test]
    fn a_copy_holds_the_lock_for_as_long_as_it_lives() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lock");
        let lock = LockFile::open(&path).expect("opened");
        assert_eq!(lock.try_lock(LockMode::Exclusive).expect("tried"), TryLock::Yes);
        let copy = lock.share().expect("copied");
        drop(lock);
        let other = LockFile::open(&path).expect("opened");
        assert!(other.is_held().expect("asked"));
        drop(copy);
        assert!(!other.is_held().expect("asked"));
    }
}
