//! The lease of a command that works on a cache.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    cache::{self, Lease, LockMode, Request},
    cli::CacheArgs,
    commands::runtime::on_runtime,
    exit::{Code, Failure},
    home::Home,
    report::{OutputStreams, Progress, Reporter},
};

/// The lease of a command, waited for as `args` say.
pub(super) fn lease(home: &Home, args: &CacheArgs, lock_mode: LockMode) -> Result<Lease> {
    lease_of(home, &args.cache_dir, lock_mode, args.cache_wait)
}

/// The lease of a directory, waited for up to `limit`.
///
/// # Errors
/// A cache failure (7) where there is no cache, or where it is in use; a time-out (6) after the wait.
pub(super) fn lease_of(home: &Home, directory: &Path, lock_mode: LockMode, limit: Duration) -> Result<Lease> {
    let shown = directory.display();
    let missing =
        || Failure::new(Code::Cache, format!("there is no cache {shown}"), "name it with --cache-dir");
    let directory = fs::canonicalize(directory).or_else(|error| match error.kind() {
        ErrorKind::NotFound => Err(missing().into()),
        _ => Err(error).with_context(missing),
    })?;
    cache::apart(home, &directory)?;
    let who = cache::CARE.into();
    let request = Request { directory, lock_mode, who, limit };
    if !limit.is_zero() {
        let mut reporter = Reporter::new(Progress::Plain, OutputStreams::of_process());
        return on_runtime(cache::acquire(home, request, &mut reporter));
    }
    cache::try_acquire(home, &request)?.ok_or_else(|| {
        let what = format!("the cache {} is in use", request.directory.display());
        let way_out = "kiln cache ls says by whom; --cache-wait 1h waits until that build has ended";
        Failure::new(Code::Cache, what, way_out).into()
    })
}

/// The leases of the caches that lie in a directory, or around it: a command that removes entries needs them, alone.
///
/// # Errors
/// A cache failure (7) when one is in use. A command that waited for it while it holds the other could deadlock.
pub(super) fn nested(home: &Home, directory: &Path) -> Result<Vec<Lease>> {
    let known = cache::known(home)?.into_iter().map(|(other, _)| other);
    let nested = |other: &PathBuf| {
        other != directory && (other.starts_with(directory) || directory.starts_with(other))
    };
    known.filter(nested).map(|other| lease_of(home, &other, LockMode::Exclusive, Duration::ZERO)).collect()
}
