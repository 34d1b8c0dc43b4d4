//! Counts what steps read of a directory: the regular files that were there before them, each once.
//!
//! Before it: a world that stands ([`Directory`]), the agent's own or, for kiln as root, a container's. After it: [`Reads`].
//!
//! The kernel tells of each file that was closed after it had been opened for reading only (fanotify(7)), on the mounts
//! of the directory; nobody waits for us, and what a step does it cannot see. A file counts when its inode has not been
//! changed since the world stood: what steps have made or written has a newer change time, which nobody can set back.
//! Some tools stamp what they use (Composer). So a file with a newer change time counts as well if its content has an older
//! one and nobody has opened it for writing, of which the kernel tells, too; not of a share, where that would double the cost
//! of writing, and a directory in which nothing was made since then stands for it.
//! So neither an overlay's layers nor the kind of the share matter. What is told is never more than was read; less, where a
//! step reads in a mount namespace that it made for itself.
//!
//! Each event is a file that the kernel opens for us, which costs a share as much as the step's own opening. So a file
//! that was looked at once is not told of again, and few are looked at between two other things that whoever counts does.
#![expect(
    unsafe_code,
    reason = "nix reads events by the hundred, and all of their files are opened before it returns"
)]
// UNSAFETY: descriptors that an event names become owned.

mod directory;
mod mountinfo;

use std::{
    collections::{BTreeMap, HashSet},
    os::{
        fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path},
};

use anyhow::{Context, Result};
use kiln_protocol::{Completeness, Counted, CountedDirectory, MAX_COUNTED, Reads};
use nix::{
    errno::Errno,
    sys::{
        fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags},
        stat::{FileStat, SFlag, fstat},
        statfs::{FUSE_SUPER_MAGIC, Statfs, fstatfs},
    },
    time::{ClockId, clock_gettime},
    unistd::read,
};

pub use self::{directory::Directory, mountinfo::unescape};

/// More files are not remembered: some ten MiB of memory.
const MOST_FILES: usize = 400_000;

/// So many files are opened at once: on a slow share that takes some ten milliseconds.
const AT_ONCE: usize = 16;

/// So often the queue is looked at for an answer: it holds no more than 16384 events (fanotify(7)). Whoever goes on reading
/// meanwhile is not waited for.
const LOOKS: usize = 16_384 / AT_ONCE + 1;

/// The bytes of `struct fanotify_event_metadata`: length (4), version (1), reserved (1), length of the metadata (2), mask
/// (8), descriptor (4), process (4).
const EVENT: usize = 24;
/// Where the mask stands in it.
const MASK: usize = 8;
/// Where the descriptor stands in it.
const DESCRIPTOR: usize = 16;

/// The ends of uses that were no writing. What is read by mmap(2) is told of, too.
const READS: MaskFlags = MaskFlags::FAN_CLOSE_NOWRITE;
/// The ends of all uses.
const USES: MaskFlags = MaskFlags::FAN_CLOSE;

/// The longest name of a directory that is told, in characters.
const NAME: usize = 255;

/// What is known of reads.
pub enum Reader {
    /// Nobody asked.
    Unasked,
    /// There is nothing that could be read.
    NothingThere,
    /// They cannot be counted: a sentence.
    Unable(String),
    /// They are counted.
    Counts(Box<Count>),
}

/// A count under way.
pub struct Count {
    group: Fanotify,
    directory: Directory,
    /// When it began, by the clock of change times.
    since: (i64, i64),
    /// Device and inode of what has been counted, or written.
    seen: HashSet<(u64, u64)>,
    /// Files and bytes by the first component of the path.
    counted: BTreeMap<Vec<u8>, (u64, u64)>,
    completeness: Completeness,
}

impl Reader {
    /// Begins to count in a directory, if it is one that can be looked at.
    pub fn of(directory: Result<Directory>) -> Self {
        match directory.and_then(Count::begin) {
            Ok(Some(count)) => Self::Counts(Box::new(count)),
            Ok(None) => Self::NothingThere,
            Err(error) => Self::Unable(format!("{error:#}")),
        }
    }

    /// What to wait for before [`Self::take`].
    pub fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Unasked | Self::NothingThere | Self::Unable(_) => None,
            Self::Counts(count) => Some(count.group.as_fd()),
        }
    }

    /// Looks at some of what has been read.
    pub fn take(&mut self) {
        if let Self::Counts(count) = self {
            count.look();
        }
    }

    /// What has been read until now.
    pub fn answer(&mut self) -> Reads {
        match self {
            Self::Unasked => Reads::Unknown("nobody asked for it before the steps".into()),
            Self::NothingThere => Reads::Counted(Counted::default()),
            Self::Unable(why) => Reads::Unknown(why.clone()),
            Self::Counts(count) => {
                let waits = (0..LOOKS).all(|_| count.look() == Queue::HeldSome);
                if waits {
                    count.completeness = Completeness::AtLeast;
                }
                Reads::Counted(count.told())
            }
        }
    }
}

/// What a look at the queue has found.
#[derive(PartialEq, Eq)]
enum Queue {
    HeldSome,
    WasEmpty,
}

impl Count {
    /// Nothing where there is no file that could be read.
    fn begin(directory: Directory) -> Result<Option<Self>> {
        // To stop listening takes the kernel ten milliseconds and more: not for an empty directory.
        if !directory.holds_a_file() {
            return Ok(None);
        }
        // Not waiting: a fifo or a device that a step opened is opened for us as well.
        let flags = InitFlags::FAN_CLASS_NOTIF
            | InitFlags::FAN_CLOEXEC
            | InitFlags::FAN_NONBLOCK
            | InitFlags::FAN_UNLIMITED_MARKS;
        let opened = EventFFlags::O_RDONLY
            | EventFFlags::O_LARGEFILE
            | EventFFlags::O_CLOEXEC
            | EventFFlags::O_NONBLOCK;
        let group = Fanotify::init(flags, opened).context("ask the kernel to tell of reads (fanotify)")?;
        for mount in directory.mounts() {
            group
                .mark(MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_MOUNT, events(mount), mount, Some("."))
                .with_context(|| {
                    format!("ask the kernel to tell of reads below {}", directory.path.display())
                })?;
        }
        // After everything that was changed to make the world, by the clock of the kernel's own stamps.
        let now = clock_gettime(ClockId::CLOCK_REALTIME_COARSE).context("read the clock")?;
        Ok(Some(Self {
            group,
            directory,
            since: (now.tv_sec(), now.tv_nsec()),
            seen: HashSet::new(),
            counted: BTreeMap::new(),
            completeness: Completeness::All,
        }))
    }

    fn look(&mut self) -> Queue {
        let mut events = [0; EVENT * AT_ONCE];
        match read(&self.group, &mut events) {
            Ok(length) => events[..length].chunks_exact(EVENT).map(opened).for_each(|file| self.note(file)),
            Err(Errno::EAGAIN) => return Queue::WasEmpty,
            // The event of a file that cannot be opened any more, which is gone with the error: no count of it.
            Err(_) => {}
        }
        Queue::HeldSome
    }

    fn note(&mut self, event: Option<Event>) {
        let Some(Event { file, written }) = event else {
            // The queue was full.
            self.completeness = Completeness::AtLeast;
            return;
        };
        let file = file.as_fd();
        self.ignore(file);
        let Ok(stat) = fstat(file) else { return };
        let is_file = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
        let inode = (stat.st_dev, stat.st_ino);
        if !is_file || self.seen.contains(&inode) {
            return;
        }
        if !written && !self.is_old(stat.st_ctime, stat.st_ctime_nsec) && !self.is_only_stamped(file, &stat) {
            return;
        }
        let Some(name) = self.first_component(file) else { return };
        let known = written || self.counted.contains_key(&name);
        if self.seen.len() >= MOST_FILES || (!known && self.counted.len() >= MAX_COUNTED) {
            self.completeness = Completeness::AtLeast;
            return;
        }
        self.seen.insert(inode);
        if !written {
            let (files, bytes) = self.counted.entry(name).or_default();
            *files += 1;
            *bytes = bytes.saturating_add(u64::try_from(stat.st_size).unwrap_or_default());
        }
    }

    /// Asks to be told of a file no more.
    fn ignore(&self, file: BorrowedFd<'_>) {
        // best effort: kernels before 5.19 cannot do it, and tell of the file again.
        let _ = self.group.mark(
            MarkFlags::FAN_MARK_ADD
                | MarkFlags::FAN_MARK_IGNORED_MASK
                | MarkFlags::FAN_MARK_IGNORED_SURV_MODIFY
                | MarkFlags::FAN_MARK_EVICTABLE,
            USES,
            file,
            None::<&Path>,
        );
    }

    fn is_old(&self, seconds: i64, nanoseconds: i64) -> bool {
        (seconds, nanoseconds) < self.since
    }

    /// Whether a file that was changed, as far as that has been told, has the content that it had.
    fn is_only_stamped(&self, file: BorrowedFd<'_>, stat: &FileStat) -> bool {
        let made_before = || {
            let path = directory::name(file)?;
            let inside = path.strip_prefix(&self.directory.path)?;
            let parent = self.directory.open(inside.parent().context("it is the directory")?)?;
            let parent = fstat(parent)?;
            Ok::<_, anyhow::Error>(self.is_old(parent.st_ctime, parent.st_ctime_nsec))
        };
        if !self.is_old(stat.st_mtime, stat.st_mtime_nsec) {
            return false;
        }
        if events(file) == USES {
            return self.completeness == Completeness::All;
        }
        // What cannot be looked at any more does not count.
        made_before().unwrap_or(false)
    }

    /// Of the path of an open file: below the directory, and empty where it lies in the directory itself.
    fn first_component(&self, file: BorrowedFd<'_>) -> Option<Vec<u8>> {
        let path = directory::name(file).ok()?;
        let mut components = path.strip_prefix(&self.directory.path).ok()?.components();
        let Some(Component::Normal(first)) = components.next() else { return None };
        let lies_deeper = components.next().is_some();
        Some(if lies_deeper { first.as_bytes().to_vec() } else { Vec::new() })
    }

    fn told(&self) -> Counted {
        let directories = self.counted.iter().map(|(name, &(files, bytes))| CountedDirectory {
            name: String::from_utf8_lossy(name).chars().take(NAME).collect(),
            files,
            bytes,
        });
        Counted { directories: directories.collect(), completeness: self.completeness }
    }
}

/// What is asked for of the file system of an open file: where each event is a question to a server, no more than needed.
fn events(file: BorrowedFd<'_>) -> MaskFlags {
    let is_share = |system: Statfs| system.filesystem_type() == FUSE_SUPER_MAGIC;
    if fstatfs(file).is_ok_and(is_share) { READS } else { USES }
}

/// The end of a use of a file.
struct Event {
    file: OwnedFd,
    /// Whether it was open for writing, then or before.
    written: bool,
}

/// An event; none where the kernel says that it has forgotten some.
fn opened(event: &[u8]) -> Option<Event> {
    let number: [u8; 4] = event[DESCRIPTOR..DESCRIPTOR + 4].try_into().expect("four bytes");
    let number = i32::from_ne_bytes(number);
    let mask: [u8; 8] = event[MASK..MASK + 8].try_into().expect("eight bytes");
    let written =
        MaskFlags::from_bits_truncate(u64::from_ne_bytes(mask)).contains(MaskFlags::FAN_CLOSE_WRITE);
    // SAFETY: the kernel has opened it for whoever reads the event, and each event is read once.
    (number >= 0).then(|| Event { file: unsafe { OwnedFd::from_raw_fd(number) }, written })
}
