//! The time of the last change of a file's inode (`st_ctime`), and the clock that it comes from.
//!
//! A file whose `st_ctime` is later than the beginning of a build has not been seen by that build ([`super::remove`]). On most
//! file systems a rename renews the time of the entry that it moves, and of no entry below it. So the times below a
//! directory are renewed before it moves: files that are older than the build would else appear as seen.

use std::{io, thread};

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_getres, clock_gettime};

use super::{BeneathDir, FileType, file_type, usage};
use crate::event::Amount;

/// Seconds and nanoseconds of the host's clock, as in a file's times.
pub(in crate::cache) type Stamp = (i64, i64);

/// The time now. A file that has been changed before has an earlier time, or the same.
pub(in crate::cache) fn now() -> Result<Stamp> {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).context("read the clock")?;
    Ok((now.tv_sec(), now.tv_nsec()))
}

/// Waits until a change gets a later time than all changes and [`now`]s before. File systems may use the time of the last
/// tick (`CLOCK_REALTIME_COARSE`), which is some milliseconds ago, and more on a virtual processor that is not scheduled.
pub(in crate::cache) fn tick() -> Result<()> {
    const COARSE: ClockId = ClockId::CLOCK_REALTIME_COARSE;
    let tick = clock_getres(COARSE).context("ask for the resolution of the clock")?;
    let before = clock_gettime(ClockId::CLOCK_REALTIME).context("read the clock")?;
    for _ in 0..MOST_TICKS {
        thread::sleep(tick.into());
        if clock_gettime(COARSE).context("read the clock")? > before {
            break;
        }
    }
    Ok(())
}

/// About four seconds: a clock that is set back meanwhile is not waited for.
const MOST_TICKS: u32 = 1000;

/// A time later than that of all changes until now.
pub(in crate::cache) fn after_all() -> Result<Stamp> {
    tick()?;
    now()
}

/// Renews the times of `name` and of all entries below, right before it moves. Returns how many files and links these are.
pub(in crate::cache) fn renew(parent: &BeneathDir, name: &[u8], depth: usize) -> io::Result<Amount> {
    let Some(stat) = parent.stat(name)? else { return Ok(Amount::default()) };
    if file_type(&stat) != FileType::Directory {
        parent.touch(name)?;
        return Ok(usage::of(&stat));
    }
    // Staged trees are not deeper, and the time of a directory is not looked at.
    if depth == 0 {
        return Ok(Amount::default());
    }
    let Some(dir) = parent.dir(name)? else { return Ok(Amount::default()) };
    let mut amount = Amount::default();
    for name in dir.names()? {
        amount = amount.plus(renew(&dir, &name, depth - 1)?);
    }
    Ok(amount)
}
