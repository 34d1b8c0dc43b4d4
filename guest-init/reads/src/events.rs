//! The kernel's events (fanotify(7)), and how they are read.
#![expect(
    unsafe_code,
    reason = "nix reads events by the hundred, and all of their files are opened before it returns"
)]
// UNSAFETY: descriptors that an event names become owned.

use std::{
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
    path::Path,
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sys::{
        fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags},
        statfs::{FUSE_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC, fstatfs},
    },
    unistd::read,
};

use crate::directory::{Directory, Mount};

/// How many events are read at once, each of which opens a file: on a slow share that takes some ten milliseconds.
pub(crate) const AT_ONCE: usize = 16;

/// The most events that the queue holds (fanotify(7)).
pub(crate) const MOST_WAITING: usize = 16_384;

/// The bytes of `struct fanotify_event_metadata`: length (4), version (1), reserved (1), length of the metadata (2), mask
/// (8), descriptor (4), process (4).
const EVENT: usize = 24;
/// The offset of the mask.
const MASK: usize = 8;
/// The offset of the descriptor.
const DESCRIPTOR: usize = 16;

/// A file that was open for reading only was closed. A read by mmap(2) is reported, too.
const READS: MaskFlags = MaskFlags::FAN_CLOSE_NOWRITE;
/// The same, and writes. FAN_CLOSE_WRITE would report a change of times as well (touch(1)).
const USES: MaskFlags = READS.union(MaskFlags::FAN_MODIFY);

/// The result of one read of the queue.
pub(crate) enum Look {
    /// The queue was empty.
    Empty,
    /// These events.
    Told(Vec<Told>),
}

/// An event.
pub(crate) enum Told {
    /// A file was used.
    Use(Event),
    /// The queue was full, and events were dropped.
    Overflow,
    /// A file could not be opened for us, and its event is lost.
    Lost,
}

/// The use of a file by one process, once or several times.
pub(crate) struct Event {
    pub(crate) file: OwnedFd,
    /// The process had it open for reading only, and closed it.
    pub(crate) read: bool,
    /// The process wrote to it.
    pub(crate) written: bool,
}

/// Begins to listen on the mounts of a directory.
pub(crate) fn listen(directory: &Directory) -> Result<Fanotify> {
    // Non-blocking: a fifo or a device that a step opened is opened for us as well.
    let flags = InitFlags::FAN_CLASS_NOTIF
        | InitFlags::FAN_CLOEXEC
        | InitFlags::FAN_NONBLOCK
        | InitFlags::FAN_UNLIMITED_MARKS;
    let opened =
        EventFFlags::O_RDONLY | EventFFlags::O_LARGEFILE | EventFFlags::O_CLOEXEC | EventFFlags::O_NONBLOCK;
    let group = Fanotify::init(flags, opened).context("ask the kernel to tell of reads (fanotify)")?;
    for mount in &directory.mounts {
        let root = mount.root.as_fd();
        group
            .mark(MarkFlags::FAN_MARK_ADD | scope(mount), uses(root), root, Some("."))
            .with_context(|| format!("ask the kernel to tell of reads below {}", directory.path.display()))?;
    }
    Ok(group)
}

/// Reads some events.
pub(crate) fn look(group: &Fanotify) -> Look {
    let mut events = [0; EVENT * AT_ONCE];
    match read(group, &mut events) {
        Ok(length) => Look::Told(events[..length].chunks_exact(EVENT).map(told).collect()),
        Err(Errno::EAGAIN) => Look::Empty,
        Err(_) => Look::Told(vec![Told::Lost]),
    }
}

/// Ignores further events of a file.
pub(crate) fn ignore(group: &Fanotify, file: BorrowedFd<'_>, what: Ignored) {
    let mask = match what {
        Ignored::Reads => READS,
        Ignored::Uses => USES,
    };
    let flags = MarkFlags::FAN_MARK_ADD
        | MarkFlags::FAN_MARK_IGNORED_MASK
        | MarkFlags::FAN_MARK_IGNORED_SURV_MODIFY
        | MarkFlags::FAN_MARK_EVICTABLE;
    // best effort: kernels before 5.19 cannot do it, and report the file again.
    let _ = group.mark(flags, mask, file, None::<&Path>);
}

/// Which events of a file are ignored.
#[derive(Clone, Copy)]
pub(crate) enum Ignored {
    /// Reads; writes are still of interest.
    Reads,
    /// All.
    Uses,
}

/// The file system of a share or an overlay has nothing but the directory, so all its mounts are watched, also those in a step's own
/// mount namespaces.
fn scope(mount: &Mount) -> MarkFlags {
    let is_made_for_it = |kind: FsType| [FUSE_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC].contains(&kind);
    let system = fstatfs(mount.root.as_fd());
    if mount.is_whole && system.is_ok_and(|system| is_made_for_it(system.filesystem_type())) {
        MarkFlags::FAN_MARK_FILESYSTEM
    } else {
        MarkFlags::FAN_MARK_MOUNT
    }
}

/// The events of a mount. Each event of a share costs a request to its server, and events for writes would double the cost of
/// writing, so there writes are not reported.
fn uses(mount: BorrowedFd<'_>) -> MaskFlags {
    let is_share = fstatfs(mount).is_ok_and(|system| system.filesystem_type() == FUSE_SUPER_MAGIC);
    if is_share { READS } else { USES }
}

fn told(event: &[u8]) -> Told {
    let number: [u8; 4] = event[DESCRIPTOR..DESCRIPTOR + 4].try_into().expect("four bytes");
    let number = i32::from_ne_bytes(number);
    let mask: [u8; 8] = event[MASK..MASK + 8].try_into().expect("eight bytes");
    let mask = MaskFlags::from_bits_truncate(u64::from_ne_bytes(mask));
    if number < 0 {
        return Told::Overflow;
    }
    // SAFETY: the kernel has opened it for the reader of the event, and each event is read once.
    let file = unsafe { OwnedFd::from_raw_fd(number) };
    let (read, written) = (mask.contains(MaskFlags::FAN_CLOSE_NOWRITE), mask.contains(MaskFlags::FAN_MODIFY));
    Told::Use(Event { file, read, written })
}
