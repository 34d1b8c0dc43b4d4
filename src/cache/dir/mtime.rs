//! When files were used last, as their tools say it: Go and Composer give a file of their cache a new time when they use it,
//! and remove what has an old one. The content stays as it is, so this is nothing that a commit puts there; it is done when
//! nobody else uses the cache, or not at all, since it only ever makes a file live longer.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use nix::sys::stat::fstat;

use super::{BeneathDir, set_time, shown};
use crate::package::Time;

/// Gives files below `top` a later time; never one that is still to come.
pub(in crate::cache) fn renew(top: &BeneathDir, times: &[(Vec<u8>, Time)]) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = (i64::try_from(now.as_secs()).unwrap_or(i64::MAX), now.subsec_nanos());
    for (path, Time { seconds, nanos }) in times {
        let doing = || format!("renew the time of {}", shown(path));
        let Some(file) = top.file_unused(path).with_context(doing)? else { continue };
        let (seconds, nanos) = (*seconds, *nanos).min(now);
        if is_later(Time { seconds, nanos }, &fstat(&file).with_context(doing)?) {
            set_time(&file, seconds, nanos).with_context(doing)?;
        }
    }
    Ok(())
}

/// Whether a time is later than that of a file.
pub(in crate::cache) fn is_later(time: Time, stat: &nix::sys::stat::FileStat) -> bool {
    (time.seconds, i64::from(time.nanos)) > (stat.st_mtime, stat.st_mtime_nsec)
}
