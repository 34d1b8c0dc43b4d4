//! The lock of commits: decided commits are merged under it, one after the other. It is held only as long as a merge takes.

use std::{fmt, path::PathBuf, sync::mpsc, thread, time::Duration};

use anyhow::{Context, Result};

use tokio::{
    sync::oneshot,
    task::{JoinError, spawn_blocking},
};

use super::{open_cache::OpenCache, remarks};
use crate::{
    cache::dir::lock::{LockFile, LockMode, TryLock},
    event::{Event, Sink, WarningKind},
    exit::{Code, Failure, explained},
};

/// The shortest limit, whatever `--cache-wait` says: a commit that has begun flushes to a disk, which may be slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A wait that is not longer is not reported: most commits are over by then.
const SILENCE: Duration = Duration::from_secs(1);

/// While it is held, no other commit is decided or merged.
#[derive(Debug)]
pub struct CommitGuard {
    _lock: LockFile,
}

/// Returns the other users of the cache, in words. It is called only for a message.
pub(in crate::cache) type Users = Box<dyn Fn() -> Result<String> + Send + Sync>;

/// The lock, with all that is needed to wait for it in another thread.
pub struct CommitLock {
    lock: PathBuf,
    directory: PathBuf,
    home: PathBuf,
    limit: Duration,
    users: Users,
}

impl fmt::Debug for CommitLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lock, directory, home, limit, users: _ } = self;
        f.debug_struct("CommitLock")
            .field("lock", lock)
            .field("directory", directory)
            .field("home", home)
            .field("limit", limit)
            .finish_non_exhaustive()
    }
}

impl CommitLock {
    /// The lock of a cache, whose file is `lock`.
    pub(in crate::cache) fn of(cache: &OpenCache, lock: PathBuf, patience: Duration, users: Users) -> Self {
        Self {
            lock,
            directory: cache.directory.clone(),
            home: cache.home.root().to_owned(),
            limit: patience.max(PATIENCE),
            users,
        }
    }

    /// Takes the lock if it is free.
    pub(in crate::cache) fn try_lock(&self) -> Result<Option<CommitGuard>> {
        let lock = LockFile::open(&self.lock)?;
        Ok((lock.try_lock(LockMode::Exclusive)? == TryLock::Yes).then_some(CommitGuard { _lock: lock }))
    }

    /// Takes the lock, and reports a long wait.
    ///
    /// # Errors
    /// A time-out (6) that names the users of the cache; a cache failure (7) when the lock cannot be used.
    pub fn lock(&self) -> Result<CommitGuard> {
        self.lock_or_say(remarks::log)
    }

    /// As [`Self::lock`], in a thread.
    pub async fn lock_in_thread(self, sink: &mut dyn Sink) -> Result<CommitGuard> {
        let guard = in_thread(sink, move |say| self.lock_or_say(say)).await;
        guard.context("the wait for the commit lock panicked")?
    }

    pub(in crate::cache) fn lock_or_say(&self, say: impl FnOnce(Event)) -> Result<CommitGuard> {
        self.wait(say).map_err(|error| explained(error, || self.unusable()))
    }

    fn wait(&self, say: impl FnOnce(Event)) -> Result<CommitGuard> {
        if let Some(turn) = self.try_lock()? {
            return Ok(turn);
        }
        let lock = LockFile::open(&self.lock)?;
        let (sender, receiver) = mpsc::channel();
        // At the limit the thread is abandoned: the lock ends with the channel, or with the program.
        thread::spawn(move || drop(sender.send(lock.lock(LockMode::Exclusive).map(|()| lock))));
        let lock = match receiver.recv_timeout(SILENCE) {
            Ok(lock) => lock,
            Err(_) => {
                say(self.waits()?);
                match receiver.recv_timeout(self.limit.saturating_sub(SILENCE)) {
                    Ok(lock) => lock,
                    Err(_) => return Err(self.timed_out()?.into()),
                }
            }
        };
        Ok(CommitGuard { _lock: lock.context("wait for a commit into the cache")? })
    }

    fn waits(&self) -> Result<Event> {
        let (directory, limit, users) = (self.directory.display(), self.limit, (self.users)()?);
        let text = format!(
            "waits, at most {limit:?}, for a commit into the cache {directory}, which is in use by {users}"
        );
        Ok(remarks::warning(WarningKind::CommitWaits, text))
    }

    fn unusable(&self) -> Failure {
        Failure::new(
            Code::Cache,
            format!("no commit into the cache {} can begin", self.directory.display()),
            format!("see that kiln's own directory {} can be written and has room", self.home.display()),
        )
    }

    fn timed_out(&self) -> Result<Failure> {
        let (directory, limit) = (self.directory.display(), self.limit);
        Ok(Failure::new(
            Code::Timeout,
            format!(
                "a commit into the cache {directory} did not end within {limit:?}: it is in use by {}",
                (self.users)()?
            ),
            "see what keeps that build, or raise --cache-wait; nothing was changed",
        ))
    }
}

/// Does blocking work in a thread; the event that it says while it works is emitted at once.
pub(in crate::cache) async fn in_thread<T: Send + 'static>(
    sink: &mut dyn Sink,
    work: impl FnOnce(Box<dyn FnOnce(Event) + Send>) -> T + Send + 'static,
) -> Result<T, JoinError> {
    let (sender, event) = oneshot::channel();
    // Where nothing waits for the work, nothing waits for its events.
    let mut working = spawn_blocking(move || work(Box::new(move |event| drop(sender.send(event)))));
    tokio::select! {
        biased;
        Ok(event) = event => sink.emit(event),
        done = &mut working => return done,
    }
    working.await
}
