//! The time of a file's last modification, as tools use it: Go and Composer renew it when they use a file of their cache, and
//! remove files whose time is old.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use nix::sys::stat::fstat;

use super::{BeneathDir, set_time, shown};
use crate::package::Time;

/// Gives files below `top` a later time, but none in the future.
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
