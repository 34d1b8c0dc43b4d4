//! A cache directory that is open, as a transaction sees it. Its holder has a lease.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::remarks::{self, Remarks};
use crate::{
    cache::dir::{
        BeneathDir,
        ctime::Stamp,
        lock::{LockFile, LockMode, TryLock},
    },
    event::WarningKind,
    home::Home,
};

/// A cache directory, the home of kiln that keeps its journal, and the lock of the lease.
#[derive(Debug)]
pub struct OpenCache {
    pub(in crate::cache) directory: PathBuf,
    pub(in crate::cache) key: Key,
    pub(in crate::cache) home: Home,
    pub(in crate::cache) root: BeneathDir,
    /// The holder may not have seen later changes.
    pub(in crate::cache) started: Stamp,
    pub(in crate::cache) lock: LockFile,
    pub(in crate::cache) lock_mode: LockMode,
    pub(in crate::cache) remarks: Remarks,
}

/// The key of a directory: its device and inode, so that two names of it are one cache.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cache) struct Key(pub String);

impl Key {
    pub(in crate::cache) fn of(directory: &Path) -> Result<Self> {
        let metadata = fs::metadata(directory).with_context(|| format!("look at {}", directory.display()))?;
        Ok(Self(format!("{:x}-{:x}", metadata.dev(), metadata.ino())))
    }
}

impl OpenCache {
    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether other leases are excluded.
    pub fn lock_mode(&self) -> LockMode {
        self.lock_mode
    }

    pub(in crate::cache) fn warn(&self, kind: WarningKind, text: impl Into<String>) {
        self.remarks.add(remarks::warning(kind, text));
    }

    /// Does `work`, and tells it whether there is no other lease. If so, none is given out meanwhile.
    pub(in crate::cache) fn alone<T>(&self, work: impl FnOnce(bool) -> Result<T>) -> Result<T> {
        let alone = self.lock.try_lock(LockMode::Exclusive)? == TryLock::Yes;
        let result = work(alone);
        if alone && self.lock_mode == LockMode::Shared {
            self.lock.try_lock(LockMode::Shared)?;
        }
        result
    }
}
