//! Whether a file was there before the steps, and with how many bytes.
//!
//! A change time from before says so by itself: nobody can set it back. One from since then says nothing. Tools stamp what they
//! have read (ccache, Composer, git), remove it and replace it, and we look some time after. So what is asked then are things that
//! neither a stamp nor a new name changes: in an overlay the layer that a file comes from, elsewhere the time of its birth, and
//! where a share does not tell that, whether its directory has got a new entry since.

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

/// A file may get another name between two looks: so often they are repeated.
const LOOKS: usize = 3;

/// Seconds and nanoseconds.
pub(crate) type Time = (i64, i64);

/// The directories that an overlay is made of.
pub struct Layers {
    /// Where writes go.
    pub upper: OwnedFd,
    /// What was there before.
    pub lower: OwnedFd,
}

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// It was there, and held so many bytes.
    There { bytes: u64 },
    /// It was there. So many bytes it holds now; they may have been others.
    ThereAndMaybeWritten { bytes: u64 },
    /// It was not.
    Absent,
    /// It is gone, and its last name is a new one: it was there if this is the number of a file that has been removed.
    Removed { number: u64 },
    /// Nobody can tell.
    Unclear,
}

/// What tells a file from others: an overlay shows one number for it before it is copied up, and may show another one then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Identity {
    /// Device and inode as steps see them.
    Shown(u64, u64),
    /// Its inode in the lower layer.
    Lower(u64),
    /// In the upper one.
    Upper(u64),
}

/// What is known of a file, and by what it is known.
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
            // A new name: of which file, the overlay has forgotten.
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

/// Where there are no layers.
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

/// When a file was made, where its file system tells.
fn birth(file: BorrowedFd<'_>) -> Result<Option<Time>> {
    let found = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME)?;
    let known = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::BTIME);
    Ok(known.then_some((found.stx_btime.tv_sec, i64::from(found.stx_btime.tv_nsec))))
}

/// Whether a file of an upper directory is a copy of a lower one, as far as we may read it.
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
