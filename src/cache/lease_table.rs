//! The table at which the leases of a cache are handed out: the locks, the turn of those who wait, the records of holders.
//!
//! Before it: [`super::lease`], which asks. All of it lies in kiln's home, where no guest can write.

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

/// The directory of [`Home`] with one directory for each cache.
pub(super) const LEASES: &str = "leases";
/// Who holds a lock of which no holder is known: what a build that was killed has started and is yet to end.
const DAEMON: &str = "a daemon of a build that has ended";
/// At most so much of a holder's own words is read.
const WORDS: u64 = 512;

/// Where the leases of one directory are handed out.
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

    /// That of a cache which may be gone.
    pub(super) fn named(home: &Home, key: &str) -> Result<Self> {
        Ok(Self { key: Key(key.to_owned()), directory: home.dir(LEASES)?.join(key) })
    }

    /// Closes it for ever; whoever calls holds the lock, alone.
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

    /// The directory it is for.
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Notes where the directory is and that `who` has a lease of it.
    pub(super) fn enter(&self, cache: &Path, who: &str) -> Result<Record> {
        let path = self.directory.join("path");
        fs::write(&path, cache.as_os_str().as_encoded_bytes())
            .with_context(|| format!("write {}", path.display()))?;
        // The records of those that were killed go.
        self.holders()?;
        Record::write(&self.directory.join("holders"), who)
    }

    pub(super) fn try_lock(&self, lock_mode: LockMode) -> Result<Option<LockFile>> {
        loop {
            let (turn, lock) = self.files()?;
            // Who waits has the turn, and later ones must not get past them. To take it, only to look, would turn others away.
            if turn.is_held()? || lock.try_lock(lock_mode)? == TryLock::No {
                return Ok(None);
            }
            if lock.is_current()? {
                return Ok(Some(lock));
            }
        }
    }

    /// First come, first served: a stream of shared holders cannot keep an exclusive one out for ever.
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

    /// Who uses the cache: the holders, or what holds the lock when none of them lives any more.
    pub(super) fn users(&self) -> Result<Vec<String>> {
        self.users_but(None)
    }

    fn users_but(&self, own: Option<&Path>) -> Result<Vec<String>> {
        let holders = self.holders_but(own)?;
        let (_, lock) = self.files()?;
        // Whoever has a record of their own holds the lock themselves.
        if holders.is_empty() && own.is_none() && lock.is_held()? {
            return Ok(vec![DAEMON.to_owned()]);
        }
        Ok(holders)
    }

    /// Whether there are users, and all of them are called so.
    pub(super) fn has_only(&self, names: &[&str]) -> Result<bool> {
        let users = self.users()?;
        let is_one = |user: &String| names.iter().any(|name| user.ends_with(&format!(" ({name})")));
        Ok(!users.is_empty() && users.iter().all(is_one))
    }

    /// The same in words for whoever was not let in. `own` is their own record, if they have a lease already.
    pub(super) fn used_by(&self, own: Option<&Path>) -> Result<String> {
        let users = self.users_but(own)?;
        Ok(if users.is_empty() { "a process that has just exited".into() } else { users.join("; ") })
    }

    /// FileType the living holders say of themselves; the records of others are removed.
    pub(super) fn holders(&self) -> Result<Vec<String>> {
        self.holders_but(None)
    }

    fn holders_but(&self, own: Option<&Path>) -> Result<Vec<String>> {
        let mut words = Vec::new();
        let Ok(listing) = fs::read_dir(self.directory.join("holders")) else { return Ok(words) };
        for entry in listing.flatten().filter(|entry| own != Some(&*entry.path())) {
            let lock = LockFile::open(&entry.path())?;
            if !lock.is_held()? {
                // best effort: another reader may have removed it. One that is just being made is made again.
                let _ = fs::remove_file(entry.path());
                continue;
            }
            let mut text = String::new();
            // Held, and not yet written.
            if lock.file().take(WORDS).read_to_string(&mut text).is_ok() && !text.is_empty() {
                words.push(text);
            }
        }
        words.sort();
        Ok(words)
    }
}

/// Who holds a lease: a file with their words, locked for as long as they live.
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
    /// Which of the records it is.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // best effort: a record whose lock has gone is removed by whoever reads it next.
        let _ = fs::remove_file(self.0.path());
    }
}

/// Directories that have ever been leased, with who holds them now; those that are gone are left out.
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
    fn who_is_not_let_in_reads_of_all_others_and_not_of_themselves() {
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
    fn who_shares_a_cache_is_in_nobodys_way() {
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
