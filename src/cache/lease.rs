//! A lease: the right to use a cache directory, and the proof of it that dies with its holder.
//!
//! Before it: [`super::acquire`], which waits for it and recovers. After it: shares and runners, which give the descriptor to
//! the daemons that use the directory, and [`super::commit`].

use std::{ops::Deref, os::fd::OwnedFd, path::PathBuf, sync::OnceLock, time::Duration};

use anyhow::{Context, Result, anyhow};

use super::{
    dir::{BeneathDir, ctime::now, lock::LockFile, lock::LockMode},
    lease_table::{LEASES, LeaseTable, Record},
    txn::{
        commit_lock::{CommitGuard, CommitLock},
        open_cache::OpenCache,
        scrub::Scrubbed,
    },
    writers::Writer,
};
use crate::home::Home;

/// The directory of [`Home`] with the directories of those that came second, for each cache.
pub(super) const PRIVATE: &str = "private";
/// The directory of [`Home`] for what is made on the way into a cache.
const SCRATCH: &str = "scratch";
/// Who asks for `kiln cache`. It is no build: a build that wants the cache for itself waits for it.
pub const CARE: &str = "kiln cache";
/// Who asks for `kiln update-cache`; the same.
pub const UPDATE: &str = "kiln update-cache";

/// FileType is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The directory; it exists.
    pub directory: PathBuf,
    /// FileType it excludes.
    pub lock_mode: LockMode,
    /// Who asks, in words that others will read: `hello-1.0-r0, mode rw`.
    pub who: String,
    /// How long to wait.
    pub limit: Duration,
}

/// The right to use a cache directory until it is dropped.
#[derive(Debug)]
pub struct Lease {
    /// Removed before the lock goes.
    record: Record,
    /// The directory, and the lock.
    cache: OpenCache,
    /// How long its holder waits for others.
    patience: Duration,
    /// Set while what its holder starts may write straight into the directory.
    writer: OnceLock<Writer>,
}

/// What a transaction needs of a lease.
impl Deref for Lease {
    type Target = OpenCache;

    fn deref(&self) -> &OpenCache {
        &self.cache
    }
}

impl Lease {
    /// A lease whose lock has been taken. Nothing has been recovered yet.
    pub(super) fn begin(home: &Home, request: &Request, lock: LockFile) -> Result<Self> {
        let Request { directory, lock_mode, who, limit } = request;
        let root = BeneathDir::open(directory).with_context(|| format!("open {}", directory.display()))?;
        let table = LeaseTable::open(home, directory)?;
        let record = table.enter(directory, who)?;
        let cache = OpenCache {
            directory: directory.clone(),
            key: table.key().clone(),
            home: home.clone(),
            root,
            started: now()?,
            lock,
            lock_mode: *lock_mode,
        };
        Ok(Self { record, cache, patience: *limit, writer: OnceLock::new() })
    }

    /// The holder has seen all that was changed until now. Under the lock of commits.
    pub(super) fn start(&mut self) -> Result<()> {
        self.cache.started = now()?;
        Ok(())
    }

    /// A directory of kiln's own, where no guest can write.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch(&self) -> Result<PathBuf> {
        self.home.dir(SCRATCH)
    }

    /// To be called before anything is started that writes straight into the directory, so that a next lease can mend what
    /// it leaves should kiln be killed.
    ///
    /// # Errors
    /// When it cannot be noted in kiln's home.
    pub fn begin_writes(&self) -> Result<()> {
        let writer = Writer::begin(&self.cache)?;
        self.writer.set(writer).map_err(|_| anyhow!("the cache is written already"))
    }

    /// To be called when all of it has ended: takes set-id bits, file capabilities, device nodes and files of other users
    /// out of what was changed since then.
    ///
    /// # Errors
    /// When the cache cannot be read. FileType cannot be mended is no error, and tried again by the next lease.
    pub fn end_writes(&self) -> Result<Scrubbed> {
        self.writer.get().map_or_else(|| Ok(Scrubbed::default()), |writer| writer.end(&self.cache))
    }

    /// The lease once more, for a daemon that uses the directory: it ends with the last of them.
    ///
    /// # Errors
    /// When the descriptor cannot be copied.
    pub fn share(&self) -> Result<OwnedFd> {
        self.lock.share().context("copy the lease of the cache")
    }

    /// The lock under which commits are decided and merged.
    ///
    /// # Errors
    /// When kiln's home cannot be used.
    pub fn commit_lock(&self) -> Result<CommitLock> {
        let (home, directory, own) =
            (self.home.clone(), self.directory.clone(), self.record.path().to_owned());
        let users = move || LeaseTable::open(&home, &directory)?.used_by(Some(&own));
        let lock = self.home.dir(LEASES)?.join(&self.key.0).join("commit");
        Ok(CommitLock::of(self, lock, self.patience, Box::new(users)))
    }

    /// Takes the lock of commits, waiting for it if need be.
    ///
    /// # Errors
    /// Those of [`CommitLock::lock`].
    pub fn lock_commits(&self) -> Result<CommitGuard> {
        self.commit_lock()?.lock()
    }
}
