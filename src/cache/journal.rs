//! The journal: which commits are decided and not complete. One file a commit, in [`crate::home`], where no guest writes.
//!
//! A record appears under its name whole or not at all (written, flushed, renamed, the directory flushed): that is the moment
//! at which a commit is decided. It goes when all of the commit is in its place. Records are taken in the order of their
//! numbers, which are given under the lock of commits.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    desk::Key,
    lease::{Lease, Stamp},
};

/// The directory of the home with one directory for each cache.
pub(super) const JOURNALS: &str = "journals";
/// A digest stands before the record.
const DIGEST: usize = 32;
/// What is being written has this ending.
const NEW: &str = "new";
/// The ending of a record that was put aside, before its number.
const DAMAGED: &str = "damaged-";

/// What is left to do of a commit, besides what lies in its staging directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The name of the staging directory below `.kiln`.
    pub staging: String,
    /// When the build got its lease: what changed later it has not seen.
    pub started: Stamp,
    /// What the build deleted.
    pub deletions: Vec<Vec<u8>>,
    /// Directories that hide what was below them.
    pub opaque: Vec<Vec<u8>>,
    /// Directories that their owner cannot write to, and what their mode is to be.
    pub modes: Vec<(Vec<u8>, u32)>,
}

/// The journal of one cache.
pub(super) struct Journal {
    directory: PathBuf,
}

impl Journal {
    pub(super) fn of(lease: &Lease) -> Result<Self> {
        Self::open(&lease.home.dir(JOURNALS)?, &lease.key)
    }

    /// One that is there.
    pub(super) fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    fn open(journals: &Path, key: &Key) -> Result<Self> {
        let directory = journals.join(&key.0);
        if !directory.is_dir() {
            match fs::create_dir(&directory) {
                // Another build that came at the same time has made it.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => made.with_context(|| format!("make {}", directory.display()))?,
            }
            sync(journals)?;
        }
        Ok(Self { directory })
    }

    /// The numbers of all decided commits, in order. Only looks: another kiln may be deciding at this moment.
    pub(super) fn pending(&self) -> Result<Vec<u64>> {
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

    /// Removes what was being written when its writer died; under the lock of commits, where nobody else writes.
    pub(super) fn sweep(&self) -> Result<()> {
        match fs::remove_file(self.directory.join(NEW)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).context("remove an unfinished record")
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether no commit is on its way.
    pub(super) fn is_empty(&self) -> Result<bool> {
        let mut listing =
            fs::read_dir(&self.directory).with_context(|| format!("read {}", self.directory.display()))?;
        Ok(listing.next().is_none())
    }

    /// Decides a commit; to be called under the lock of commits, with all that it stages durable.
    pub(super) fn decide(&self, record: &Record) -> Result<u64> {
        let number = self.pending()?.last().map_or(1, |last| last + 1);
        let body = postcard::to_stdvec(record).context("encode a record of the journal")?;
        let path = self.directory.join(NEW);
        let mut file = File::create(&path).with_context(|| format!("write {}", path.display()))?;
        let written = file.write_all(&Sha256::digest(&body)).and_then(|()| file.write_all(&body));
        written.and_then(|()| file.sync_all()).with_context(|| format!("write {}", path.display()))?;
        fs::rename(&path, self.path(number)).context("put a record into the journal")?;
        if let Err(error) = sync(&self.directory) {
            // best effort: who says that nothing was kept must leave nothing that says otherwise.
            let _ = fs::remove_file(self.path(number));
            return Err(error);
        }
        Ok(number)
    }

    /// Reads a record; `None` for one that is damaged. One that cannot be read now is not damaged.
    pub(super) fn read(&self, number: u64) -> Result<Option<Record>> {
        let path = self.path(number);
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let Some((digest, body)) = bytes.split_at_checked(DIGEST) else { return Ok(None) };
        if digest != &Sha256::digest(body)[..] {
            return Ok(None);
        }
        Ok(postcard::from_bytes(body).ok())
    }

    /// All of the commit is in its place, and durable.
    pub(super) fn complete(&self, number: u64) -> Result<()> {
        fs::remove_file(self.path(number)).context("remove a record from the journal")?;
        sync(&self.directory)
    }

    /// A damaged record is put aside, so that it is neither followed nor lost.
    pub(super) fn put_aside(&self, number: u64) -> Result<PathBuf> {
        let aside = self.directory.with_extension(format!("{DAMAGED}{number}"));
        fs::rename(self.path(number), &aside).context("put a damaged record aside")?;
        Ok(aside)
    }

    /// The records that were put aside.
    pub(super) fn damaged(&self) -> Result<Vec<PathBuf>> {
        let all = self.directory.parent().context("a journal lies in the home")?;
        let own = self.directory.file_name().context("a journal has a name")?.to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in fs::read_dir(all).with_context(|| format!("read {}", all.display()))? {
            let entry = entry.with_context(|| format!("read {}", all.display()))?;
            if entry.file_name().to_string_lossy().starts_with(&format!("{own}.{DAMAGED}")) {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:012}"))
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
    fn who_looks_leaves_a_record_that_is_being_written() {
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
