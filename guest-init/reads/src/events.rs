//! What the kernel tells of (fanotify(7)), and how it is read.
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

/// So many files are opened at once: on a slow share that takes some ten milliseconds.
pub(crate) const AT_ONCE: usize = 16;

/// The queue holds no more events than that (fanotify(7)).
pub(crate) const MOST_WAITING: usize = 16_384;

/// The bytes of `struct fanotify_event_metadata`: length (4), version (1), reserved (1), length of the metadata (2), mask
/// (8), descriptor (4), process (4).
const EVENT: usize = 24;
/// Where the mask stands in it.
const MASK: usize = 8;
/// Where the descriptor stands in it.
const DESCRIPTOR: usize = 16;

/// The ends of uses that were no writing. What is read by mmap(2) is told of, too.
const READS: MaskFlags = MaskFlags::FAN_CLOSE_NOWRITE;
/// The same, and writes: not the end of a use for writing, which a stamp is as well (touch(1)).
const USES: MaskFlags = READS.union(MaskFlags::FAN_MODIFY);

/// One look at the queue.
pub(crate) enum Look {
    /// The queue was empty.
    Empty,
    /// These.
    Told(Vec<Told>),
}

/// What the kernel says.
pub(crate) enum Told {
    /// A use.
    Use(Event),
    /// The queue was full, and events were dropped.
    Overflow,
    /// A file could not be opened for us any more, and its event is gone.
    Lost,
}

/// What one process has done to a file, once or several times.
pub(crate) struct Event {
    pub(crate) file: OwnedFd,
    /// It had it open for reading only, and closed it.
    pub(crate) read: bool,
    /// It wrote.
    pub(crate) written: bool,
}

/// Begins to listen on the mounts of a directory.
pub(crate) fn listen(directory: &Directory) -> Result<Fanotify> {
    // Not waiting: a fifo or a device that a step opened is opened for us as well.
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

/// Asks to be told of a file no more.
pub(crate) fn ignore(group: &Fanotify, file: BorrowedFd<'_>, what: Ignored) {
    let mask = match what {
        Ignored::Reads => READS,
        Ignored::Uses => USES,
    };
    let flags = MarkFlags::FAN_MARK_ADD
        | MarkFlags::FAN_MARK_IGNORED_MASK
        | MarkFlags::FAN_MARK_IGNORED_SURV_MODIFY
        | MarkFlags::FAN_MARK_EVICTABLE;
    // best effort: kernels before 5.19 cannot do it, and tell of the file again.
    let _ = group.mark(flags, mask, file, None::<&Path>);
}

/// What is not told of a file any more.
#[derive(Clone, Copy)]
pub(crate) enum Ignored {
    /// That it was read: whether it is written is still of interest.
    Reads,
    /// Anything.
    Uses,
}

/// A share and an overlay hold the directory alone: they tell of all their mounts, those of mount namespaces that a step makes, too.
fn scope(mount: &Mount) -> MarkFlags {
    let is_made_for_it = |kind: FsType| [FUSE_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC].contains(&kind);
    let system = fstatfs(mount.root.as_fd());
    if mount.is_whole && system.is_ok_and(|system| is_made_for_it(system.filesystem_type())) {
        MarkFlags::FAN_MARK_FILESYSTEM
    } else {
        MarkFlags::FAN_MARK_MOUNT
    }
}

/// What is asked for on a mount. Each event of a share is a question to its server, and one for each file that is written
/// would double the cost of writing: there a file that was there is not known to be written.
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
    // SAFETY: the kernel has opened it for whoever reads the event, and each event is read once.
    let file = unsafe { OwnedFd::from_raw_fd(number) };
    let (read, written) = (mask.contains(MaskFlags::FAN_CLOSE_NOWRITE), mask.contains(MaskFlags::FAN_MODIFY));
    Told::Use(Event { file, read, written })
}
