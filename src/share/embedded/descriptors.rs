//! How many descriptors the guest has the device hold: one for each file that it knows, one for each that it has open.
//!
//! The guest keeps names until its own memory is short, which may be long after the device's limit of open files is reached. So when
//! half of the limit is used, names come with a lifetime of zero: the guest's driver then drops a name, and with it the file, as soon
//! as no process uses it (FORGET). File handles, which need no descriptors, would take CAP_DAC_READ_SEARCH: with that capability, code
//! that has taken over the device could open any file of the file system by its number, outside the directory too.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use log::info;
use virtiofsd::filesystem::Entry;

/// Workers of several queues seldom want the same part of the table.
const PARTS: usize = 16;

/// The descriptors that the guest causes.
pub(super) struct Descriptors {
    /// With more than this many, names have no lifetime.
    enough: u64,
    /// Files that the guest has open.
    open: AtomicU64,
    /// Files that the guest knows.
    known: AtomicU64,
    /// How often the guest was given each of them.
    references: [Mutex<BTreeMap<u64, u64>>; PARTS],
    reported: AtomicBool,
}

impl Descriptors {
    /// For a guest that may cause `limit` descriptors.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            enough: limit / 2,
            open: AtomicU64::new(0),
            known: AtomicU64::new(0),
            references: Default::default(),
            reported: AtomicBool::new(false),
        }
    }

    /// The guest gets this file once more; returns what it is told of it.
    pub(super) fn give(&self, mut entry: Entry) -> Entry {
        // A name that does not exist has no file.
        if entry.inode == 0 {
            return entry;
        }
        let mut part = self.part(entry.inode);
        let references = part.entry(entry.inode).or_insert(0);
        if *references == 0 {
            self.known.fetch_add(1, Ordering::Relaxed);
        }
        *references += 1;
        drop(part);
        let used = self.used();
        if used > self.enough {
            entry.entry_timeout = Duration::ZERO;
            if !self.reported.swap(true, Ordering::Relaxed) {
                info!(
                    "{used} descriptors are used for the guest: it is to forget the names that it does not use"
                );
            }
        }
        entry
    }

    /// The guest gives back a file that it was given so many times.
    pub(super) fn forget(&self, inode: u64, count: u64) {
        let mut part = self.part(inode);
        // A guest may send anything.
        if let Some(references) = part.get_mut(&inode) {
            *references = references.saturating_sub(count);
            if *references == 0 {
                part.remove(&inode);
                subtract(&self.known, 1);
            }
        }
    }

    /// A file was opened.
    pub(super) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// An open file was closed.
    pub(super) fn closed(&self) {
        subtract(&self.open, 1);
    }

    /// The guest knows nothing and has nothing open: it has unmounted the file system, or mounts it.
    pub(super) fn clear(&self) {
        for part in &self.references {
            let forgotten = std::mem::take(&mut *lock(part)).len();
            subtract(&self.known, forgotten as u64);
        }
        self.open.store(0, Ordering::Relaxed);
    }

    fn used(&self) -> u64 {
        self.known.load(Ordering::Relaxed).saturating_add(self.open.load(Ordering::Relaxed))
    }

    fn part(&self, inode: u64) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        // The remainder is smaller than the number of parts.
        lock(&self.references[(inode % PARTS as u64) as usize])
    }
}

/// A guest may close a file while another of its processors unmounts the file system: no count goes below zero.
fn subtract(count: &AtomicU64, less: u64) {
    // An update that always has a new value does not fail.
    let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_sub(less)));
}

/// A panic ends the process, so no lock is left by one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
