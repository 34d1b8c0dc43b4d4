//! FileType goes into the cache is new there from the moment at which it goes, whenever it was staged.
//!
//! Who compares the time of a file's last change (`st_ctime`) with the beginning of a build decides whether that build can
//! have seen it ([`super::remove`]). A rename renews that time for what it moves, on most file systems, and for nothing
//! below a directory that it moves: files that were staged before a build began, and put into their place after that, would
//! be taken for older than it.

use std::io;

use super::{BeneathDir, FileType, what};
use crate::{cache::txn::usage_delta, event::Amount};

/// Renews `name` and all below it. Under the lock of commits, right before it moves: no build begins in between.
/// Says how many files and links these are.
pub(in crate::cache) fn renew(parent: &BeneathDir, name: &[u8], depth: usize) -> io::Result<Amount> {
    let Some(stat) = parent.stat(name)? else { return Ok(Amount::default()) };
    if what(&stat) != FileType::Directory {
        parent.touch(name)?;
        return Ok(usage_delta::of(&stat));
    }
    // Nothing that kiln stages is deeper, and a directory's own time is not asked for.
    if depth == 0 {
        return Ok(Amount::default());
    }
    let Some(place) = parent.dir(name)? else { return Ok(Amount::default()) };
    let mut amount = Amount::default();
    for name in place.names()? {
        amount = amount.plus(renew(&place, &name, depth - 1)?);
    }
    Ok(amount)
}
