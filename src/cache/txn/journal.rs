//! The journal: the commits that are decided and not complete. One file for each, in [`crate::home`], where no guest writes.
//!
//! A record appears under its name whole or not at all (written, flushed, renamed, the directory flushed): with that the
//! commit is decided. The record is removed when all of the commit is in its place. Commits are completed in the order of
//! their numbers, which are given under the lock of commits.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::open_cache::{Key, OpenCache};
use crate::cache::dir::ctime::Stamp;

/// The directory of the home with the journal of each cache.
pub(in crate::cache) const JOURNALS: &str = "journals";
/// The first byte of a record. A record of another version cannot be read, and is not removed.
const VERSION: u8 = 1;
/// The length of the digest, which is that of the rest.
const DIGEST: usize = 32;
/// The name of a record that is being written.
const NEW: &str = "new";
/// The ending of a note beside a record: how many replacements and deletions of it wait for other leases. It may be lost.
const WAITING: &str = "waiting";

/// A decided commit: what is left to do besides merging its staging directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cache) struct Record {
    /// The name of the staging directory below `.kiln`.
    pub staging: String,
    /// When the build got its lease: it has not seen later changes.
    pub started: Stamp,
    /// The paths that the build deleted.
    pub deletions: Vec<Vec<u8>>,
    /// Directories that hide the earlier entries below them (opaque).
    pub opaque: Vec<Vec<u8>>,
    /// Directories that their owner cannot write, with their modes.
    pub modes: Vec<(Vec<u8>, u32)>,
}

/// A record as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cache) enum Reading {
    Whole(Record),
    /// It is neither followed nor removed; the reason, in words.
    Unreadable(&'static str),
}

/// The journal of one cache.
pub(in crate::cache) struct Journal {
    directory: PathBuf,
}

impl Journal {
    pub(in crate::cache) fn of(cache: &OpenCache) -> Result<Self> {
        Self::open(&cache.home.dir(JOURNALS)?, &cache.key)
    }

    /// An existing journal.
    pub(in crate::cache) fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    fn open(journals: &Path, key: &Key) -> Result<Self> {
        let directory = journals.join(&key.0);
        if !directory.is_dir() {
            match fs::create_dir(&directory) {
                // Another build has made it at the same time.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => made.with_context(|| format!("make {}", directory.display()))?,
            }
            sync(journals)?;
        }
        Ok(Self { directory })
    }

    /// The numbers of all decided commits, in order. Changes nothing: another kiln may be deciding at this moment.
    pub(in crate::cache) fn pending(&self) -> Result<Vec<u64>> {
        let mut numbers: Vec<u64> = self.names()?.iter().filter_map(|name| name.parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn names(&self) -> Result<Vec<String>> {
        let doing = || format!("read {}", self.directory.display());
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory).with_context(doing)? {
            names.push(entry.with_context(doing)?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    /// Removes a record whose writer died, and notes whose record is gone. Under the lock of commits, so that there is no
    /// other writer.
    pub(in crate::cache) fn sweep(&self) -> Result<()> {
        absent(&self.directory.join(NEW))?;
        for path in self.names()?.iter().map(|name| self.directory.join(name)) {
            if path.extension().is_some_and(|ending| ending == WAITING) && !path.with_extension("").exists() {
                absent(&path)?;
            }
        }
        Ok(())
    }

    /// Notes that only `count` replacements and deletions are left, which wait for other leases.
    pub(in crate::cache) fn waits(&self, number: u64, count: u64) -> Result<()> {
        let path = self.note(number);
        fs::write(&path, count.to_string()).with_context(|| format!("write {}", path.display()))
    }

    /// How many replacements and deletions wait, if it is known that nothing else is left.
    pub(in crate::cache) fn waiting(&self, number: u64) -> Option<u64> {
        fs::read_to_string(self.note(number)).ok()?.parse().ok()
    }

    /// Whether it has no records and no notes.
    pub(in crate::cache) fn is_empty(&self) -> Result<bool> {
        let mut listing =
            fs::read_dir(&self.directory).with_context(|| format!("read {}", self.directory.display()))?;
        Ok(listing.next().is_none())
    }

    /// Decides a commit whose staging directory is durable. Under the lock of commits.
    pub(in crate::cache) fn decide(&self, record: &Record) -> Result<u64> {
        let number = self.next()?;
        let bytes = encode(record)?;
        let path = self.directory.join(NEW);
        let mut file = File::create(&path).with_context(|| format!("write {}", path.display()))?;
        file.write_all(&bytes)
            .and_then(|()| file.sync_all())
            .with_context(|| format!("write {}", path.display()))?;
        fs::rename(&path, self.path(number)).context("put a record into the journal")?;
        if let Err(error) = sync(&self.directory) {
            // best effort: the caller reports that nothing was kept, so no record should remain.
            let _ = fs::remove_file(self.path(number));
            return Err(error);
        }
        Ok(number)
    }

    fn next(&self) -> Result<u64> {
        Ok(self.pending()?.last().map_or(1, |last| last + 1))
    }

    /// Moves a record of another journal into this one.
    pub(in crate::cache) fn take_over(&self, other: &Self, number: u64) -> Result<()> {
        absent(&other.note(number))?;
        fs::rename(other.path(number), self.path(self.next()?))
            .context("take over a record of the journal")?;
        sync(&self.directory)?;
        sync(&other.directory)
    }

    /// Reads a record; `None` if it is complete by now.
    ///
    /// # Errors
    /// When it cannot be read at this time, which does not mean that it is damaged.
    pub(in crate::cache) fn read(&self, number: u64) -> Result<Option<Reading>> {
        let path = self.path(number);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(decode(&bytes))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Removes the record of a commit that is in its place, and durable.
    pub(in crate::cache) fn complete(&self, number: u64) -> Result<()> {
        // First the note, so that it is not taken for that of a later record with this number.
        absent(&self.note(number))?;
        fs::remove_file(self.path(number)).context("remove a record from the journal")?;
        sync(&self.directory)
    }

    fn note(&self, number: u64) -> PathBuf {
        self.path(number).with_extension(WAITING)
    }

    /// The file of a record.
    pub(in crate::cache) fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:012}"))
    }
}

fn encode(record: &Record) -> Result<Vec<u8>> {
    let body = postcard::to_stdvec(record).context("encode a record of the journal")?;
    Ok([&[VERSION], &Sha256::digest(&body)[..], &body].concat())
}

fn decode(bytes: &[u8]) -> Reading {
    let damaged = Reading::Unreadable("it is damaged");
    let Some((version, rest)) = bytes.split_first() else { return damaged };
    if *version != VERSION {
        return Reading::Unreadable("another version of kiln wrote it, or it is damaged");
    }
    match rest.split_at_checked(DIGEST) {
        Some((digest, body)) if digest == &Sha256::digest(body)[..] => {
            postcard::from_bytes(body).map_or(damaged, Reading::Whole)
        }
        Some(_) | None => damaged,
    }
}

fn absent(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .with_context(|| format!("flush {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    #[test]
    fn reading_the_journal_keeps_a_record_that_is_being_written() {
        let journals = tempfile::tempdir().unwrap();
        let journal = Journal::open(journals.path(), &Key("a-cache".into())).unwrap();
        let new = journal.directory.join(NEW);
        fs::write(&new, "half").unwrap();
        assert_eq!(journal.pending().unwrap(), [0; 0]);
        assert!(new.exists() && !journal.is_empty().unwrap());
        journal.sweep().unwrap();
        assert!(!new.exists() && journal.is_empty().unwrap());
    }

    #[test]
    fn a_record_is_read_as_it_was_written_or_not_at_all() {
        let record = Record {
            staging: "a-b-c".into(),
            started: (1, 2),
            deletions: vec![b"gone".to_vec()],
            opaque: Vec::new(),
            modes: vec![(b"d".to_vec(), 0o555)],
        };
        let bytes = encode(&record).unwrap();
        assert_eq!(decode(&bytes), Reading::Whole(record));
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(matches!(decode(&other), Reading::Unreadable(_)), "byte {at} is another");
            assert!(matches!(decode(&bytes[..at]), Reading::Unreadable(_)), "cut at {at}");
        }
    }

    #[test]
    fn builds_that_come_at_once_open_one_journal() {
        for _ in 0..50 {
            let journals = tempfile::tempdir().unwrap();
            let start = Barrier::new(8);
            let open = || {
                start.wait();
                Journal::open(journals.path(), &Key("a-cache".into())).map(|journal| journal.directory)
            };
            thread::scope(|scope| {
                let opened: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
                for one in opened {
                    assert_eq!(one.join().unwrap().unwrap(), journals.path().join("a-cache"));
                }
            });
        }
    }
}
