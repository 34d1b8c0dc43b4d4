//! What goes into the cache is new there from the moment at which it goes, whenever it was staged.
//!
//! Who compares the time of a file's last change (`st_ctime`) with the beginning of a build decides whether that build can
//! have seen it ([`super::remove`]). A rename renews that time for what it moves, on most file systems, and for nothing
//! below a directory that it moves: files that were staged before a build began, and put into their place after that, would
//! be taken for older than it.

use std::io;

use super::place::{Place, What, what};

/// Renews `name` and all below it. Under the lock of commits, right before it moves: no build begins in between.
pub(super) fn renew(parent: &Place, name: &[u8], depth: usize) -> io::Result<()> {
    let Some(stat) = parent.stat(name)? else { return Ok(()) };
    if what(&stat) != What::Directory {
        return parent.touch(name);
    }
    // Nothing that kiln stages is deeper, and a directory's own time is not asked for.
    if depth == 0 {
        return Ok(());
    }
    let Some(place) = parent.dir(name)? else { return Ok(()) };
    for name in place.names()? {
        renew(&place, &name, depth - 1)?;
    }
    Ok(())
}
