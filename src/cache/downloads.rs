//! Unfinished downloads at the top of a cache (`.fetch.…`): what nobody goes on with is removed, whatever it is by now.
//!
//! A guest that writes straight through can put anything in their place.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

use super::{
    dir::{FileType, remove, shown, what},
    lease::Lease,
};
use crate::ecosystem::fetch;

/// A download that was broken off is gone on with for so long.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A clock may be wrong by as much; a time that lies further ahead is nobody's.
const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes what has this name at the top of the cache, with all below it; follows no link.
///
/// # Errors
/// FileType is not for this user to remove.
pub fn discard(lease: &Lease, name: &str) -> Result<()> {
    remove::tree(&lease.root, name.as_bytes())
        .with_context(|| format!("remove {} from {}", shown(name.as_bytes()), lease.directory.display()))
}

/// Removes downloads that were broken off a week ago, and what only looks like one. Best effort: what stays is in the way
/// of nothing.
pub fn sweep_downloads(lease: &Lease) {
    let names = match lease.root.names() {
        Ok(names) => names,
        Err(error) => return tracing::debug!(%error, "unfinished downloads stay"),
    };
    let now = SystemTime::now();
    for name in names.iter().filter(|name| name.starts_with(fetch::UNFINISHED.as_bytes())) {
        if let Err(error) = sweep_one(lease, name, now) {
            tracing::debug!(name = %shown(name), %error, "an unfinished download stays");
        }
    }
}

fn sweep_one(lease: &Lease, name: &[u8], now: SystemTime) -> Result<()> {
    let Some(stat) = lease.root.stat(name)? else { return Ok(()) };
    if what(&stat) != FileType::File {
        return Ok(remove::tree(&lease.root, name)?);
    }
    let written =
        u64::try_from(stat.st_mtime).map_or(UNIX_EPOCH, |seconds| UNIX_EPOCH + Duration::from_secs(seconds));
    let is_old = match now.duration_since(written) {
        Ok(age) => age > KEPT,
        Err(ahead) => ahead.duration() > AHEAD,
    };
    if !is_old {
        return Ok(());
    }
    let Some(file) = lease.root.file_unused(name)? else { return Ok(()) };
    // Whoever fetches it holds its lock.
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(_lock) => Ok(lease.root.unlink(name)?),
        Err(_) => Ok(()),
    }
}
