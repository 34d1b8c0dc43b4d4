//! The leases of a cache: the lock, the queue of waiting processes, the records of the holders.
//!
//! After it: [`super::acquire()`]. All of it lies in kiln's home, where no guest can write.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    dir::lock::{LockFile, LockMode, TryLock},
    txn::open_cache::Key,
};
use crate::home::Home;

/// The directory of [`Home`] with the table of each cache.
pub(super) const LEASES: &str = "leases";
/// The holder of a lock without a record: a process that a killed build has started.
const DAEMON: &str = "a daemon of a build that has ended";
/// The most bytes that are read of a record.
const WORDS: u64 = 512;

/// The table of one directory.
pub(super) struct LeaseTable {
    key: Key,
    directory: PathBuf,
}

impl LeaseTable {
    pub(super) fn open(home: &Home, cache: &Path) -> Result<Self> {
        let key = Key::of(cache)?;
        let directory = home.dir(LEASES)?.join(&key.0);
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        Ok(Self { key, directory })
    }

    /// The table of a cache that may be gone.
    pub(super) fn named(home: &Home, key: &str) -> Result<Self> {
        Ok(Self { key: Key(key.to_owned()), directory: home.dir(LEASES)?.join(key) })
    }

    /// Removes it. The caller holds the lock exclusively.
    pub(super) fn remove(&self) -> Result<()> {
        fs::remove_dir_all(&self.directory).with_context(|| format!("remove {}", self.directory.display()))
    }

    fn files(&self) -> Result<(LockFile, LockFile)> {
        fs::create_dir_all(&self.directory).with_context(|| format!("make {}", self.directory.display()))?;
        Ok((LockFile::open(&self.directory.join("turn"))?, LockFile::open(&self.directory.join("lock"))?))
    }

    /// A directory of this name beside the locks, made when missing.
    pub(super) fn subdirectory(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }

    /// The key of the cache.
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Notes the path of the cache, and that `who` has a lease of it.
    pub(super) fn enter(&self, cache: &Path, who: &str) -> Result<Record> {
        let path = self.directory.join("path");
        fs::write(&path, cache.as_os_str().as_encoded_bytes())
            .with_context(|| format!("write {}", path.display()))?;
        // This removes the records of killed holders.
        self.holders()?;
        Record::write(&self.directory.join("holders"), who)
    }

    pub(super) fn try_lock(&self, lock_mode: LockMode) -> Result<Option<LockFile>> {
        loop {
            let (turn, lock) = self.files()?;
            // A waiting process holds `turn`: later ones must not overtake it. Only look at it, since to take it would turn
            // others away.
            if turn.is_held()? || lock.try_lock(lock_mode)? == TryLock::No {
                return Ok(None);
            }
            if lock.is_current()? {
                return Ok(Some(lock));
            }
        }
    }

    /// Takes the lock in the order of arrival, so that shared holders cannot keep an exclusive one out for ever.
    pub(super) fn wait(&self, lock_mode: LockMode) -> Result<LockFile> {
        loop {
            let (turn, lock) = self.files()?;
            turn.lock(LockMode::Exclusive)?;
            lock.lock(lock_mode)?;
            turn.unlock()?;
            if lock.is_current()? {
                return Ok(lock);
            }
        }
    }

    /// The users of the cache: the holders, or [`DAEMON`] if the lock is held without a record.
    pub(super) fn users(&self) -> Result<Vec<String>> {
        self.users_but(None)
    }

    fn users_but(&self, own: Option<&Path>) -> Result<Vec<String>> {
        let holders = self.holders_but(own)?;
        let (_, lock) = self.files()?;
        // With a record of its own the caller holds the lock itself.
        if holders.is_empty() && own.is_none() && lock.is_held()? {
            return Ok(vec![DAEMON.to_owned()]);
        }
        Ok(holders)
    }

    /// Whether there are users, and each has one of these names.
    pub(super) fn has_only(&self, names: &[&str]) -> Result<bool> {
        let users = self.users()?;
        let is_one = |user: &String| names.iter().any(|name| user.ends_with(&format!(" ({name})")));
        Ok(!users.is_empty() && users.iter().all(is_one))
    }

    /// The users in words, for a process that has to wait. `own` is its record, if it has a lease already.
    pub(super) fn used_by(&self, own: Option<&Path>) -> Result<String> {
        let users = self.users_but(own)?;
        Ok(if users.is_empty() { "a process that has just exited".into() } else { users.join("; ") })
    }

    /// The names of living holders. Removes the records of the others.
    pub(super) fn holders(&self) -> Result<Vec<String>> {
        self.holders_but(None)
    }

    fn holders_but(&self, own: Option<&Path>) -> Result<Vec<String>> {
        let mut words = Vec::new();
        let Ok(listing) = fs::read_dir(self.directory.join("holders")) else { return Ok(words) };
        for entry in listing.flatten().filter(|entry| own != Some(&*entry.path())) {
            let lock = LockFile::open(&entry.path())?;
            if !lock.is_held()? {
                // best effort: another reader may have removed it. A holder that is making its record makes it again.
                let _ = fs::remove_file(entry.path());
                continue;
            }
            let mut text = String::new();
            // It may not be written yet.
            if lock.file().take(WORDS).read_to_string(&mut text).is_ok() && !text.is_empty() {
                words.push(text);
            }
        }
        words.sort();
        Ok(words)
    }
}

/// The record of a holder: a file with its name, locked while the holder lives.
#[derive(Debug)]
pub(super) struct Record(LockFile);

impl Record {
    fn write(holders: &Path, who: &str) -> Result<Self> {
        fs::create_dir_all(holders).with_context(|| format!("make {}", holders.display()))?;
        let named =
            tempfile::Builder::new().prefix("holder-").tempfile_in(holders).context("note the lease")?;
        let (_, path) = named.keep().context("note the lease")?;
        let lock = LockFile::hold(&path)?;
        write!(&mut lock.file(), "pid {} ({who})", std::process::id()).context("note the lease")?;
        Ok(Self(lock))
    }
}

impl Record {
    /// The path of the file.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // best effort: the next reader removes a record without a lock.
        let _ = fs::remove_file(self.0.path());
    }
}

/// Directories that have ever been leased and still exist, with their users.
pub fn known(home: &Home) -> Result<Vec<(PathBuf, Vec<String>)>> {
    use std::os::unix::ffi::OsStringExt;
    let leases = home.dir(LEASES)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(&leases).with_context(|| format!("read {}", leases.display()))?.flatten() {
        let Ok(bytes) = fs::read(entry.path().join("path")) else { continue };
        let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
        // Another directory may have taken its name.
        if Key::of(&path).is_ok_and(|key| entry.file_name().to_string_lossy() == key.0) {
            let users = LeaseTable::open(home, &path)?.users()?;
            found.push((path, users));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_waiting_process_is_told_of_all_other_users() {
        let (home, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let table = LeaseTable::open(&Home::at(home.path()), cache.path()).unwrap();
        let exited = "a process that has just exited";
        assert_eq!(table.used_by(None).unwrap(), exited);
        let own = table.enter(cache.path(), "own").unwrap();
        let shown = |who| format!("pid {} ({who})", std::process::id());
        assert_eq!(table.used_by(None).unwrap(), shown("own"));
        assert_eq!(table.used_by(Some(own.path())).unwrap(), exited);
        // Kilns in containers that share a home may have the same number.
        let other = table.enter(cache.path(), "other").unwrap();
        assert_eq!(table.used_by(Some(own.path())).unwrap(), shown("other"));
        drop(other);
        assert_eq!(table.used_by(Some(own.path())).unwrap(), exited);
    }

    #[test]
    fn shared_leases_do_not_exclude_each_other() {
        let (home, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let home = Home::at(home.path());
        let enter = || {
            for _ in 0..200 {
                let table = LeaseTable::open(&home, cache.path()).unwrap();
                assert!(table.try_lock(LockMode::Shared).unwrap().is_some());
            }
        };
        thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(enter))));
    }
}
