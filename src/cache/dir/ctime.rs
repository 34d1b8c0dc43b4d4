//! FileType goes into the cache is new there from the moment at which it goes, whenever it was staged.
//!
//! Who compares the time of a file's last change (`st_ctime`) with the beginning of a build decides whether that build can
//! have seen it ([`super::remove`]). A rename renews that time for what it moves, on most file systems, and for nothing
//! below a directory that it moves: files that were staged before a build began, and put into their place after that, would
//! be taken for older than it.

use std::{io, thread};

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_getres, clock_gettime};

use super::{BeneathDir, FileType, usage, what};
use crate::event::Amount;

/// Seconds and nanoseconds of the host's clock, as in a file's times.
pub(in crate::cache) type Stamp = (i64, i64);

/// FileType has been changed before this moment bears an earlier time, or the same.
pub(in crate::cache) fn now() -> Result<Stamp> {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).context("read the clock")?;
    Ok((now.tv_sec(), now.tv_nsec()))
}

/// Waits until what is changed bears a later time than all that was changed, or began, before: file systems may give a file
/// the time of the last tick (`CLOCK_REALTIME_COARSE`). That is some milliseconds ago, and longer ago where the processor
/// that counts ticks is kept from it, as a virtual one may be.
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

/// A clock that was set back meanwhile is not waited for: about four seconds.
const MOST_TICKS: u32 = 1000;

/// A moment later than all that has been changed until now, for whoever is alone with a cache.
pub(in crate::cache) fn after_all() -> Result<Stamp> {
    tick()?;
    now()
}

/// Renews `name` and all below it. Under the lock of commits, right before it moves: no build begins in between.
/// Says how many files and links these are.
pub(in crate::cache) fn renew(parent: &BeneathDir, name: &[u8], depth: usize) -> io::Result<Amount> {
    let Some(stat) = parent.stat(name)? else { return Ok(Amount::default()) };
    if what(&stat) != FileType::Directory {
        parent.touch(name)?;
        return Ok(usage::of(&stat));
    }
    // Nothing that kiln stages is deeper, and a directory's own time is not asked for.
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
