//! Removes unfinished downloads at the top of a cache (`.fetch.…`), and anything that a guest has put in their place.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

use super::{
    dir::{FileType, file_type, remove, shown},
    lease::Lease,
};
use crate::ecosystem::fetch;

/// How long a download that was broken off is kept, to be continued.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How far in the future the time of a download may be: a clock may be wrong.
const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes the entry of this name at the top of the cache, with all below it; follows no link.
///
/// # Errors
/// When this user may not remove it.
pub fn discard(lease: &Lease, name: &str) -> Result<()> {
    remove::tree(&lease.root, name.as_bytes())
        .with_context(|| format!("remove {} from {}", shown(name.as_bytes()), lease.directory.display()))
}

/// Removes downloads that were broken off a week ago, and entries with such a name that are no files. Best effort: one that
/// stays is in the way of nothing.
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
    if file_type(&stat) != FileType::File {
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
    // The process that fetches it holds its lock.
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(_lock) => Ok(lease.root.unlink(name)?),
        Err(_) => Ok(()),
    }
}
