//! Whether a file existed before the steps, and its size then.
//!
//! An old change time is proof, since it cannot be set back. A new one is not: tools set the times of files that they have read
//! (ccache, Composer, git), remove and replace them, and we look some time later. Then we use facts that neither a change of times nor
//! a rename alters: in an overlay the layer of the file, elsewhere its birth time, and on a share without birth times, whether its
//! directory has changed since.

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use anyhow::Result;
use nix::sys::stat::{FileStat, SFlag, fstat};
use rustix::fs::{AtFlags, StatxFlags, statx};

use crate::{
    directory::Directory,
    inside::{Inside, entry},
};

/// Marks in an upper directory a file that was copied up (fs/overlayfs/copy_up.c), also of an overlay with `userxattr`.
const ORIGIN: [&str; 2] = ["trusted.overlay.origin", "user.overlay.origin"];

/// How often a lookup is repeated when the file is renamed meanwhile.
const LOOKS: usize = 3;

/// Seconds and nanoseconds.
pub(crate) type Time = (i64, i64);

/// The directories of an overlay.
pub struct Layers {
    /// The upper directory.
    pub upper: OwnedFd,
    /// The lower directory.
    pub lower: OwnedFd,
}

/// The state of a file before the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// It existed, with this size.
    There { bytes: u64 },
    /// It existed. This is its size now; its size before the steps may have been another.
    ThereAndMaybeWritten { bytes: u64 },
    /// It did not exist.
    Absent,
    /// It is deleted, and was no lower file under its last name. It existed if this is the inode number of a removed file.
    Removed { number: u64 },
    /// Not known.
    Unclear,
}

/// Identifies a file. An overlay shows one inode number before a copy-up, and may show another one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Identity {
    /// Device and inode as steps see them.
    Shown(u64, u64),
    /// Inode in the lower layer.
    Lower(u64),
    /// Inode in the upper layer.
    Upper(u64),
}

/// The state of a file before the steps, and its identities.
pub(crate) struct Found {
    pub(crate) before: Before,
    pub(crate) identities: Vec<Identity>,
}

/// A file that was not changed.
pub(crate) fn unchanged(directory: &Directory, stat: &FileStat) -> Found {
    let lower = directory.layers.as_ref().map(|_| Identity::Lower(number(stat)));
    Found {
        before: Before::There { bytes: size(stat) },
        identities: lower.into_iter().chain([shown(stat)]).collect(),
    }
}

/// A file that was changed, replaced or removed since `since`.
pub(crate) fn changed(
    directory: &Directory,
    file: BorrowedFd<'_>,
    stat: &FileStat,
    since: Time,
) -> Result<Found> {
    let mut found = Found { before: Before::Unclear, identities: Vec::new() };
    for _ in 0..LOOKS {
        let inside = Inside::of(directory, file)?;
        found = match directory.layers_of(file)? {
            Some(layers) => layers.before(&inside, stat)?,
            None => {
                Found { before: by_birth(directory, &inside, file, stat, since)?, identities: Vec::new() }
            }
        };
        if Inside::of(directory, file)? == inside {
            break;
        }
        found.before = Before::Unclear;
    }
    found.identities.push(shown(stat));
    Ok(found)
}

impl Layers {
    /// The overlay shows the number of the lower file for a copy as long as it knows of it, the upper file's own for a new file.
    fn before(&self, Inside { path, is_deleted }: &Inside, stat: &FileStat) -> Result<Found> {
        let Self { upper, lower } = self;
        let below = entry(lower.as_fd(), path)?.map(|(_, below)| below).filter(is_file);
        let above = if *is_deleted { None } else { entry(upper.as_fd(), path)? };
        Ok(match above.filter(|(_, above)| is_file(above)) {
            Some((file, above)) => Self::above(&file, &above, below.as_ref(), stat),
            None if *is_deleted => Self::deleted(below.as_ref(), stat),
            None => Found {
                before: Before::There { bytes: size(stat) },
                identities: vec![Identity::Lower(number(stat))],
            },
        })
    }

    /// A file of the upper directory.
    fn above(file: &OwnedFd, above: &FileStat, below: Option<&FileStat>, stat: &FileStat) -> Found {
        let upper = Identity::Upper(number(above));
        let maybe_written = Before::ThereAndMaybeWritten { bytes: size(stat) };
        let is_known_copy = number(above) != number(stat);
        let (before, lower) = match below {
            Some(below) if is_known_copy && number(below) == number(stat) => {
                (Before::There { bytes: size(below) }, Some(number(below)))
            }
            Some(_) | None if is_known_copy => (maybe_written, Some(number(stat))),
            Some(below) if has_origin(file) => (maybe_written, Some(number(below))),
            // A renamed file: the overlay does not record its old name.
            None if has_origin(file) => (Before::Unclear, None),
            // A copy of a file with several names is not marked.
            Some(below) if below.st_nlink > 1 => (Before::Unclear, None),
            Some(_) | None => (Before::Absent, None),
        };
        let identities = lower.map(Identity::Lower).into_iter().chain([upper]).collect();
        Found { before, identities }
    }

    fn deleted(below: Option<&FileStat>, stat: &FileStat) -> Found {
        let (before, lower) = match below {
            Some(below) if number(below) == number(stat) => {
                (Before::There { bytes: size(below) }, Some(number(below)))
            }
            Some(below) if below.st_nlink > 1 => (Before::Unclear, None),
            Some(_) | None => (Before::Removed { number: number(stat) }, None),
        };
        Found { before, identities: lower.map(Identity::Lower).into_iter().collect() }
    }
}

fn shown(stat: &FileStat) -> Identity {
    Identity::Shown(stat.st_dev, stat.st_ino)
}

/// An inode number without what an overlay may have put into its highest bits (`xino`).
pub(crate) fn number(stat: &FileStat) -> u64 {
    stat.st_ino & (u64::MAX >> 8)
}

/// For file systems without layers.
fn by_birth(
    directory: &Directory,
    Inside { path, is_deleted }: &Inside,
    file: BorrowedFd<'_>,
    stat: &FileStat,
    since: Time,
) -> Result<Before> {
    let there = Before::ThereAndMaybeWritten { bytes: size(stat) };
    if let Some(birth) = birth(file)? {
        return Ok(if birth < since { there } else { Before::Absent });
    }
    if *is_deleted {
        return Ok(Before::Unclear);
    }
    let parent = fstat(&directory.open(path.parent().unwrap_or(Path::new("")))?)?;
    Ok(if (parent.st_ctime, parent.st_ctime_nsec) < since { there } else { Before::Unclear })
}

/// The birth time of a file, where its file system reports it.
fn birth(file: BorrowedFd<'_>) -> Result<Option<Time>> {
    let found = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME)?;
    let known = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::BTIME);
    Ok(known.then_some((found.stx_btime.tv_sec, i64::from(found.stx_btime.tv_nsec))))
}

/// Whether a file of an upper directory is a copy of a lower one, as far as the attribute is readable.
fn has_origin(file: &OwnedFd) -> bool {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    ORIGIN.iter().any(|name| xattr::get_deref(&path, name).is_ok_and(|value| value.is_some()))
}

pub(crate) fn is_file(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG
}

pub(crate) fn size(stat: &FileStat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}
