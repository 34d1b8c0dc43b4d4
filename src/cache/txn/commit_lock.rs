//! The turn of a commit: the lock under which what is decided is merged, one commit after the other.
//!
//! Before it: a lease, whose holder it is that waits. It is held for as long as a merge takes, and nothing else is.

use std::{path::PathBuf, sync::mpsc, thread, time::Duration};

use anyhow::{Context, Result};

use crate::{
    cache::{
        dir::lock::{LockFile, LockMode, TryLock},
        lease::Lease,
        lease_table::{LEASES, LeaseTable},
    },
    exit::{Code, Failure, explained},
    home::Home,
};

/// Whatever `--cache-wait` says, so long is waited at least: a commit that has begun flushes to a disk, which may be slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whoever waits no longer than this need not say so: most commits are over by then.
const SILENCE: Duration = Duration::from_secs(1);

/// Held, no other commit is decided or merged.
#[derive(Debug)]
pub struct CommitGuard {
    _lock: LockFile,
}

/// All that it takes to wait for a turn: for a thread that a signal abandons.
#[derive(Debug)]
pub struct CommitLock {
    home: Home,
    directory: PathBuf,
    lock: PathBuf,
    /// The record of the lease's own holder.
    own: PathBuf,
    limit: Duration,
}

impl CommitLock {
    pub(in crate::cache) fn of(lease: &Lease) -> Result<Self> {
        Ok(Self {
            home: lease.home.clone(),
            directory: lease.directory.clone(),
            lock: lease.home.dir(LEASES)?.join(&lease.key.0).join("commit"),
            own: lease.record.path().to_owned(),
            limit: lease.patience.max(PATIENCE),
        })
    }

    /// The turn, if it can be had at once.
    pub(in crate::cache) fn try_turn(&self) -> Result<Option<CommitGuard>> {
        let lock = LockFile::open(&self.lock)?;
        Ok((lock.try_lock(LockMode::Exclusive)? == TryLock::Yes).then_some(CommitGuard { _lock: lock }))
    }

    /// Waits for it, and says so when it takes a while.
    ///
    /// # Errors
    /// A time-out (6) that names who uses the cache; a cache failure (7) where the lock cannot be had at all.
    pub fn turn(&self) -> Result<CommitGuard> {
        self.wait().map_err(|error| explained(error, || self.unusable()))
    }

    fn wait(&self) -> Result<CommitGuard> {
        if let Some(turn) = self.try_turn()? {
            return Ok(turn);
        }
        let lock = LockFile::open(&self.lock)?;
        let (sender, receiver) = mpsc::channel();
        // Abandoned at the limit: the lock goes with the channel, or with the program.
        thread::spawn(move || drop(sender.send(lock.lock(LockMode::Exclusive).map(|()| lock))));
        let lock = match receiver.recv_timeout(SILENCE) {
            Ok(lock) => lock,
            Err(_) => {
                self.say()?;
                match receiver.recv_timeout(self.limit.saturating_sub(SILENCE)) {
                    Ok(lock) => lock,
                    Err(_) => return Err(self.timed_out()?.into()),
                }
            }
        };
        Ok(CommitGuard { _lock: lock.context("wait for a commit into the cache")? })
    }

    fn say(&self) -> Result<()> {
        let (directory, limit, users) = (self.directory.display(), self.limit, self.users()?);
        tracing::warn!(
            "waits, at most {limit:?}, for a commit into the cache {directory}, which is in use by {users}"
        );
        Ok(())
    }

    fn users(&self) -> Result<String> {
        LeaseTable::open(&self.home, &self.directory)?.used_by(Some(&self.own))
    }

    fn unusable(&self) -> Failure {
        Failure::new(
            Code::Cache,
            format!("no commit into the cache {} can begin", self.directory.display()),
            format!(
                "see that kiln's own directory {} can be written and has room",
                self.home.root().display()
            ),
        )
    }

    fn timed_out(&self) -> Result<Failure> {
        let (directory, limit) = (self.directory.display(), self.limit);
        Ok(Failure::new(
            Code::Timeout,
            format!(
                "a commit into the cache {directory} did not end within {limit:?}: it is in use by {}",
                self.users()?
            ),
            "see what keeps that build, or raise --cache-wait; nothing was changed",
        ))
    }
}
