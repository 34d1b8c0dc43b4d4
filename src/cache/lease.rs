//! A lease: the right to use a cache directory, and the proof of it that dies with its holder.
//!
//! Before it: the plan, which says how much the use excludes, and [`super::lease_table`], which hands leases out. After it: shares
//! and runners, which give the descriptor to the daemons that use the directory, and [`super::txn::commit`].

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};

use super::{
    dir::{
        BeneathDir,
        ctime::{Stamp, now},
        lock::{LockFile, LockMode, TryLock},
    },
    lease_table::{Key, LeaseTable, Record},
    txn::{
        commit_lock::{CommitGuard, CommitLock},
        scrub::Scrubbed,
    },
    writers::{self, Writer},
};
use crate::{
    event::{Event, Sink},
    exit::{Code, Failure, explained},
    home::Home,
};

/// The directory of [`Home`] with the directories of those that came second, for each cache.
pub(super) const PRIVATE: &str = "private";
/// The directory of [`Home`] for what is made on the way into a cache.
const SCRATCH: &str = "scratch";
/// More builds than that on one cache, each with a directory of its own, are a mistake.
const MOST_PRIVATE: usize = 256;

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
    pub(super) directory: PathBuf,
    pub(super) key: Key,
    pub(super) home: Home,
    pub(super) place: BeneathDir,
    /// Removed before the lock goes.
    pub(super) record: Record,
    lock: LockFile,
    lock_mode: LockMode,
    /// How long its holder waits for others.
    pub(super) patience: Duration,
    /// FileType was changed later than this the holder may not have seen.
    pub(super) started: Stamp,
    /// Set while what its holder starts may write straight into the directory.
    writer: OnceLock<Writer>,
}

impl Lease {
    /// Takes the lease, waiting for others if it must; says for whom it waits. FileType earlier commits left is finished first.
    ///
    /// # Errors
    /// A time-out (6) that names who has it.
    pub async fn acquire(home: &Home, request: Request, sink: &mut dyn Sink) -> Result<Self> {
        let failed = |error| explained(error, || unusable(home, &request.directory));
        let at_once =
            LeaseTable::open(home, &request.directory).and_then(|table| table.try_lock(request.lock_mode));
        let lock = match at_once.map_err(failed)? {
            Some(lock) => lock,
            None => Self::wait(home, &request, sink).await.map_err(failed)?,
        };
        // In a thread, as well: another commit may be under way, and a signal must be heard meanwhile.
        let (owned, wanted) = (home.clone(), request.clone());
        let begun = tokio::task::spawn_blocking(move || Self::with_lock(&owned, &wanted, lock));
        begun.await.context("the beginning of the lease panicked")?.map_err(failed)
    }

    async fn wait(home: &Home, request: &Request, sink: &mut dyn Sink) -> Result<LockFile> {
        let Request { directory, lock_mode, who: _, limit } = request.clone();
        let table = LeaseTable::open(home, &directory)?;
        let (who, shown) = (table.used_by(None)?, directory.display());
        let text = format!("waits, at most {limit:?}, for the cache {shown}, which is in use by {who}");
        sink.emit(Event::Note { text });
        // Abandoned at the limit: the thread, and the lock should it get one, go with the program.
        let waiting = tokio::task::spawn_blocking(move || table.wait(lock_mode));
        let Ok(waited) = tokio::time::timeout(limit, waiting).await else {
            return Err(timed_out(home, request)?.into());
        };
        waited.context("the wait for the cache panicked")?
    }

    /// Takes the lease if that is possible at once.
    pub fn try_acquire(home: &Home, request: &Request) -> Result<Option<Self>> {
        let lock =
            LeaseTable::open(home, &request.directory).and_then(|table| table.try_lock(request.lock_mode));
        lock.and_then(|lock| lock.map(|lock| Self::with_lock(home, request, lock)).transpose())
            .map_err(|error| explained(error, || unusable(home, &request.directory)))
    }

    fn with_lock(home: &Home, request: &Request, lock: LockFile) -> Result<Self> {
        let Request { directory, lock_mode, who, limit } = request;
        let place = BeneathDir::open(directory).with_context(|| format!("open {}", directory.display()))?;
        let table = LeaseTable::open(home, directory)?;
        let record = table.enter(directory, who)?;
        let mut lease = Self {
            directory: directory.clone(),
            key: table.key().clone(),
            home: home.clone(),
            place,
            record,
            lock,
            lock_mode: *lock_mode,
            patience: *limit,
            started: now()?,
            writer: OnceLock::new(),
        };
        // While no commit is under way: the holder sees all of each that came before, and nothing of those that come.
        let turn = lease.turn()?;
        super::txn::commit::recover_in_turn(&lease, &turn)?;
        lease.scrub_for_the_killed()?;
        lease.started = now()?;
        drop(turn);
        Ok(lease)
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A directory of kiln's own, where no guest can write.
    pub fn scratch(&self) -> Result<PathBuf> {
        self.home.dir(SCRATCH)
    }

    /// Whether it excludes all others.
    pub fn lock_mode(&self) -> LockMode {
        self.lock_mode
    }

    /// Refuses a cache whose directories for mounts are something else, such as links.
    ///
    /// # Errors
    /// A cache failure (7).
    pub fn mountable(&self) -> Result<()> {
        Ok(super::preflight::mountable(&self.place, self.directory())?)
    }

    /// The lease once more, for a daemon that uses the directory: it ends with the last of them.
    pub fn share(&self) -> Result<OwnedFd> {
        self.lock.share().context("copy the lease of the cache")
    }

    /// The end of the use: what waited for the last lease is merged, if this is it.
    pub fn finish(&self) -> Result<()> {
        super::txn::commit::recover(self)
            .map_err(|error| explained(error, || unusable(&self.home, &self.directory)))
    }

    fn scrub_for_the_killed(&self) -> Result<()> {
        let scrubbed = writers::recover(self)?;
        let shown = self.directory.display();
        if let Some(words) = scrubbed.words() {
            tracing::warn!("a build that was killed had left in the cache {shown}: {words}");
        }
        if let Some(words) = scrubbed.failure() {
            tracing::warn!("a build that was killed has left the cache {shown} so that {words}");
        }
        Ok(())
    }

    /// To be called before anything is started that writes straight into the directory, so that a next lease can mend what
    /// it leaves should kiln be killed.
    ///
    /// # Errors
    /// When it cannot be noted in kiln's home.
    pub fn begin_writes(&self) -> Result<()> {
        let writer = Writer::begin(self)?;
        self.writer.set(writer).map_err(|_| anyhow!("the cache is written already"))
    }

    /// To be called when all of it has ended: takes set-id bits, file capabilities, device nodes and files of other users
    /// out of what was changed since then.
    ///
    /// # Errors
    /// When the cache cannot be read. FileType cannot be mended is no error, and tried again by the next lease.
    pub fn end_writes(&self) -> Result<Scrubbed> {
        self.writer.get().map_or_else(|| Ok(Scrubbed::default()), |writer| writer.end(self))
    }

    /// After writes that went straight through: removes what was made for them and has stayed empty, if this is the last lease.
    pub fn remove_unused(&self) -> Result<()> {
        let remove =
            || super::cargo_dirs::remove(&self.place).context("remove empty directories of the cache");
        self.alone(|alone| if alone { remove() } else { Ok(()) })
    }

    /// Where one waits for the turn to commit.
    pub fn queue(&self) -> Result<CommitLock> {
        CommitLock::of(self)
    }

    /// The turn to commit, waiting for it if need be.
    pub fn turn(&self) -> Result<CommitGuard> {
        self.queue()?.turn()
    }

    /// Does `work`, which is told whether nobody else has a lease, and keeps it so meanwhile.
    pub(super) fn alone<T>(&self, work: impl FnOnce(bool) -> Result<T>) -> Result<T> {
        let alone = self.lock.try_lock(LockMode::Exclusive)? == TryLock::Yes;
        let result = work(alone);
        if alone && self.lock_mode == LockMode::Shared {
            self.lock.try_lock(LockMode::Shared)?;
        }
        result
    }
}

/// The directory alone, or, where another build has it, the first free one of those that kiln keeps for that case. Who is no
/// build is waited for.
pub async fn private(home: &Home, request: &Request, sink: &mut dyn Sink) -> Result<Lease> {
    if let Some(lease) = Lease::try_acquire(home, request)? {
        return Ok(lease);
    }
    if LeaseTable::open(home, &request.directory)?.has_only(&[CARE, UPDATE])? {
        return Lease::acquire(home, request.clone(), sink).await;
    }
    let own = home.dir(PRIVATE)?.join(Key::of(&request.directory)?.0);
    for number in 1..=MOST_PRIVATE {
        let directory = own.join(number.to_string());
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        if let Some(lease) = Lease::try_acquire(home, &Request { directory, ..request.clone() })? {
            return Ok(lease);
        }
    }
    let what = format!("{MOST_PRIVATE} builds use the cache {} at once", request.directory.display());
    Err(Failure::new(Code::Cache, what, "wait for one of them to end").into())
}

fn unusable(home: &Home, directory: &Path) -> Failure {
    Failure::new(
        Code::Cache,
        format!("the cache {} cannot be used", directory.display()),
        format!(
            "see that it and kiln's own directory {} can be written and have room, or name another one with --cache-dir",
            home.root().display()
        ),
    )
}

fn timed_out(home: &Home, request: &Request) -> Result<Failure> {
    let holders = LeaseTable::open(home, &request.directory)?.used_by(None)?;
    Ok(Failure::new(
        Code::Timeout,
        format!(
            "the cache {} was not free within {:?}: it is in use by {holders}",
            request.directory.display(),
            request.limit
        ),
        "wait for that build, or raise --cache-wait; builds in --cache-mode commit run at once",
    ))
}
