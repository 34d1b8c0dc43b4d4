//! A count under way.

use std::{
    collections::{BTreeMap, HashSet},
    os::fd::{AsFd, BorrowedFd},
};

use anyhow::{Context, Result};
use kiln_protocol::{Completeness, Counted, CountedDirectory, MAX_COUNTED, MAX_UNCLEAR, UnclearFile};
use nix::{
    sys::{
        fanotify::Fanotify,
        stat::{FileStat, fstat},
    },
    time::{ClockId, clock_gettime},
};

use crate::{
    before::{self, Before, Found, Identity, Time},
    directory::Directory,
    events::{self, AT_ONCE, Event, Ignored, Look, MOST_WAITING, Told},
    held_open::{self, HeldOpen},
    hidden::hidden_files,
    inside::Inside,
};

/// The most identities that are remembered, one or two for a file: some thirty MiB of memory.
const MOST_IDENTITIES: usize = 800_000;

/// How often the queue is read for an answer. A process that goes on reading is not waited for.
const LOOKS: usize = MOST_WAITING / AT_ONCE + 1;

/// The longest reported name of a directory, in characters.
const NAME: usize = 255;

/// A count under way.
pub struct Count {
    group: Fanotify,
    directory: Directory,
    /// When it began, by the clock of change times.
    since: Time,
    /// Files that have been counted, and files that a step had written before it read them.
    seen: HashSet<Identity>,
    /// Counted files that have been changed: if a write is reported, their size may have been another.
    maybe_written: HashSet<Identity>,
    /// Files and bytes by the first component of the path.
    counted: BTreeMap<Vec<u8>, (u64, u64)>,
    /// Files whose state is not known yet: the first component, identities, and the inode.
    unclear: Vec<(Vec<u8>, Vec<Identity>, u64)>,
    /// Deleted files, which count if they existed before: the first component, and the inode.
    removed: Vec<(Vec<u8>, u64)>,
    /// How many more files have an unknown state.
    unknown: u64,
    completeness: Completeness,
}

/// Whether the queue had events.
#[derive(PartialEq, Eq)]
enum Queue {
    HeldSome,
    WasEmpty,
}

impl Count {
    /// `None` where there is no file that could be read.
    pub(crate) fn begin(directory: Directory) -> Result<Option<Self>> {
        // Closing the group takes ten milliseconds and more: not for an empty directory.
        if !directory.holds_a_file() {
            return Ok(None);
        }
        let group = events::listen(&directory)?;
        // After all changes by the preparation, by the clock of the kernel's timestamps.
        let now = clock_gettime(ClockId::CLOCK_REALTIME_COARSE).context("read the clock")?;
        Ok(Some(Self {
            group,
            directory,
            since: (now.tv_sec(), now.tv_nsec()),
            seen: HashSet::new(),
            maybe_written: HashSet::new(),
            counted: BTreeMap::new(),
            unclear: Vec::new(),
            removed: Vec::new(),
            unknown: 0,
            completeness: Completeness::All,
        }))
    }

    pub(crate) fn waits_for(&self) -> BorrowedFd<'_> {
        self.group.as_fd()
    }

    /// Takes some events.
    pub(crate) fn take(&mut self) {
        self.look();
    }

    /// The count until now, with files that are still open.
    pub(crate) fn answer(&mut self) -> Counted {
        let waits = (0..LOOKS).all(|_| self.look() == Queue::HeldSome);
        let mounts: Vec<u64> = self.directory.mounts.iter().map(|mount| mount.id).collect();
        let HeldOpen { files, too_many } = held_open::held_open(&mounts);
        if waits || too_many {
            self.completeness = Completeness::AtLeast;
        }
        for file in files {
            self.note(&Event { file, read: true, written: false });
        }
        self.settle_removed();
        self.told()
    }

    fn look(&mut self) -> Queue {
        let Look::Told(told) = events::look(&self.group) else { return Queue::WasEmpty };
        for told in told {
            match told {
                Told::Use(event) => self.note(&event),
                Told::Overflow => self.completeness = Completeness::AtLeast,
                Told::Lost => self.unknown += 1,
            }
        }
        Queue::HeldSome
    }

    fn note(&mut self, event: &Event) {
        let file = event.file.as_fd();
        let Ok(stat) = fstat(file) else {
            self.unknown += 1;
            return;
        };
        if !before::is_file(&stat) {
            return events::ignore(&self.group, file, Ignored::Uses);
        }
        let is_changed = (stat.st_ctime, stat.st_ctime_nsec) >= self.since;
        let shown = Identity::Shown(stat.st_dev, stat.st_ino);
        if self.seen.contains(&shown) {
            self.note_again(event, shown);
        } else if event.read {
            self.note_read(event, &stat, is_changed);
        } else if is_changed {
            // A step has written it, so later reads do not count.
            self.see(&[shown]);
            events::ignore(&self.group, file, Ignored::Uses);
        }
    }

    /// A file that has been counted: only its size may change.
    fn note_again(&mut self, event: &Event, shown: Identity) {
        if event.written && self.maybe_written.remove(&shown) {
            self.unknown += 1;
            events::ignore(&self.group, event.file.as_fd(), Ignored::Uses);
        }
    }

    fn note_read(&mut self, event: &Event, stat: &FileStat, is_changed: bool) {
        let file = event.file.as_fd();
        let unclear = Found { before: Before::Unclear, identities: Vec::new() };
        let Found { before, identities } = if is_changed {
            before::changed(&self.directory, file, stat, self.since).unwrap_or(unclear)
        } else {
            before::unchanged(&self.directory, stat)
        };
        // One process has read and written it; the kernel does not report the order.
        let was_written = event.written && is_changed;
        let ignored = match before {
            Before::ThereAndMaybeWritten { .. } if !was_written => Ignored::Reads,
            _ => Ignored::Uses,
        };
        events::ignore(&self.group, file, ignored);
        if before == Before::Absent {
            return;
        }
        // It may be in `unclear` by another of its names: then it was changed before.
        if is_changed {
            self.unclear.retain(|(_, found, _)| !found.iter().any(|one| identities.contains(one)));
        }
        if identities.iter().any(|one| self.seen.contains(one)) {
            self.see(&identities);
            return;
        }
        match before {
            Before::Absent => {}
            Before::There { .. } | Before::ThereAndMaybeWritten { .. } if was_written => {
                self.unknown += 1;
                self.see(&identities);
            }
            Before::There { bytes } => self.count(file, &identities, bytes),
            Before::ThereAndMaybeWritten { bytes } => {
                self.count(file, &identities, bytes);
                self.maybe_written.insert(Identity::Shown(stat.st_dev, stat.st_ino));
            }
            Before::Removed { number } => self.put_off_removed(file, number),
            Before::Unclear => self.put_off(file, identities, stat.st_ino),
        }
    }

    fn count(&mut self, file: BorrowedFd<'_>, identities: &[Identity], bytes: u64) {
        if let Some(name) = self.kind(file) {
            self.count_in(name, identities, bytes);
        }
    }

    fn count_in(&mut self, name: Vec<u8>, identities: &[Identity], bytes: u64) {
        let is_known = self.counted.contains_key(&name);
        if !self.see(identities) || (!is_known && self.counted.len() >= MAX_COUNTED) {
            self.completeness = Completeness::AtLeast;
            return;
        }
        let (files, sum) = self.counted.entry(name).or_default();
        *files += 1;
        *sum = sum.saturating_add(bytes);
    }

    /// Leaves it to later events, and then to the host, which knows files by their inode numbers on the share.
    fn put_off(&mut self, file: BorrowedFd<'_>, identities: Vec<Identity>, inode: u64) {
        let Some(name) = self.kind(file) else { return };
        if self.unclear.len() >= MAX_UNCLEAR {
            self.unknown += 1;
        } else {
            self.unclear.push((name, identities, inode));
        }
    }

    /// Leaves it to the end, since the search for removed files is done once.
    fn put_off_removed(&mut self, file: BorrowedFd<'_>, number: u64) {
        let Some(name) = self.kind(file) else { return };
        if self.removed.len() >= MAX_UNCLEAR {
            self.unknown += 1;
        } else {
            self.removed.push((name, number));
        }
    }

    fn settle_removed(&mut self) {
        let removed = std::mem::take(&mut self.removed);
        let Some(layers) = self.directory.layers.as_ref().filter(|_| !removed.is_empty()) else { return };
        let Some(hidden) = hidden_files(layers) else {
            self.unknown += removed.len() as u64;
            return;
        };
        for (name, number) in removed {
            let identity = Identity::Lower(number);
            if let (Some(&bytes), false) = (hidden.get(&number), self.seen.contains(&identity)) {
                self.count_in(name, &[identity], bytes);
            }
        }
    }

    /// The first component of a file's path; not known for a file that lies elsewhere.
    fn kind(&mut self, file: BorrowedFd<'_>) -> Option<Vec<u8>> {
        let kind = Inside::of(&self.directory, file).ok().map(|inside| inside.first_component());
        self.unknown += u64::from(kind.is_none());
        kind
    }

    /// Remembers these identities; whether there was room.
    fn see(&mut self, identities: &[Identity]) -> bool {
        let has_room = self.seen.len() < MOST_IDENTITIES;
        if has_room {
            self.seen.extend(identities);
        }
        has_room
    }

    fn told(&self) -> Counted {
        let mut names: Vec<&Vec<u8>> = self.counted.keys().collect();
        let (mut unclear, mut unknown) = (Vec::new(), self.unknown);
        for (name, _, inode) in &self.unclear {
            // An inode number of an overlay is not the host's.
            if self.directory.layers.is_some() {
                unknown += 1;
                continue;
            }
            let place = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            match u8::try_from(place) {
                Ok(directory) if place < MAX_COUNTED => {
                    unclear.push(UnclearFile { directory, inode: *inode });
                }
                Ok(_) | Err(_) => unknown += 1,
            }
        }
        names.truncate(MAX_COUNTED);
        let directory = |name: &Vec<u8>| {
            let (files, bytes) = self.counted.get(name).copied().unwrap_or_default();
            CountedDirectory {
                name: String::from_utf8_lossy(name).chars().take(NAME).collect(),
                files,
                bytes,
            }
        };
        let directories = names.into_iter().map(directory).collect();
        Counted { directories, unclear, unknown, completeness: self.completeness }
    }
}
