//! A lease: the right to use a cache directory. It ends with its holder.
//!
//! Before it: [`super::acquire()`], which waits for it and recovers. After it: shares and runners, which give the descriptor to
//! the daemons that use the directory, and [`super::commit()`].

use std::{ops::Deref, os::fd::OwnedFd, path::PathBuf, sync::OnceLock, time::Duration};

use anyhow::{Context, Result, anyhow};

use super::{
    dir::{BeneathDir, ctime::now, lock::LockFile, lock::LockMode},
    lease_table::{LEASES, LeaseTable, Record},
    txn::{
        commit_lock::{CommitGuard, CommitLock},
        open_cache::OpenCache,
        remarks::Remarks,
        scrub::Scrubbed,
    },
    writers::Writer,
};
use crate::{event::Sink, home::Home};

/// The directory of [`Home`] with the directories of builds that found a cache in use, for each cache.
pub(super) const PRIVATE: &str = "private";
/// The directory of [`Home`] for files on their way into a cache.
const SCRATCH: &str = "scratch";
/// The name under which `kiln cache` takes a lease. A build that wants the cache for itself waits for it.
pub const CARE: &str = "kiln cache";
/// The name under which `kiln update-cache` takes a lease. A build waits for it as well.
pub const UPDATE: &str = "kiln update-cache";

/// A request for a lease.
#[derive(Debug, Clone)]
pub struct Request {
    /// The directory; it exists.
    pub directory: PathBuf,
    /// Whether other leases are excluded.
    pub lock_mode: LockMode,
    /// The holder, in words for the messages of others: `hello-1.0-r0, mode rw`.
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
    /// How long its holder waits for other users.
    patience: Duration,
    /// Set while the build of its holder may write straight into the directory.
    writer: OnceLock<Writer>,
}

/// The open cache of a lease: all that a transaction needs.
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
            remarks: Remarks::default(),
        };
        Ok(Self { record, cache, patience: *limit, writer: OnceLock::new() })
    }

    /// Notes that the holder has seen all changes until now. Under the lock of commits.
    pub(super) fn start(&mut self) -> Result<()> {
        self.cache.started = now()?;
        Ok(())
    }

    /// Emits the warnings of the work that was done under this lease so far. When the lease ends, the log gets the others.
    pub fn emit_remarks(&self, sink: &mut dyn Sink) {
        self.remarks.emit(sink);
    }

    /// A directory of kiln's own, where no guest can write.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch(&self) -> Result<PathBuf> {
        self.home.dir(SCRATCH)
    }

    /// Call it before a program is started that writes straight into the directory: if kiln is killed, the next lease scrubs
    /// the cache.
    ///
    /// # Errors
    /// When it cannot be noted in kiln's home.
    pub fn begin_writes(&self) -> Result<()> {
        let writer = Writer::begin(&self.cache)?;
        self.writer.set(writer).map_err(|_| anyhow!("the cache is written already"))
    }

    /// Call it when all these programs have ended: scrubs what was changed since then (set-id bits, file capabilities, device
    /// nodes, files of other users).
    ///
    /// # Errors
    /// When the cache cannot be read. An entry that cannot be corrected is no error: the next lease tries again.
    pub fn end_writes(&self) -> Result<Scrubbed> {
        self.writer.get().map_or_else(|| Ok(Scrubbed::default()), |writer| writer.end(&self.cache))
    }

    /// A copy of the lock, for a daemon that uses the directory. The lease ends with the last copy.
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
