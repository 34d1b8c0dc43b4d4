//! Takes the lease of a cache and recovers the earlier commits: the one place where a use of a cache begins, and ends.
//!
//! Before it: the plan, which says how much the use excludes. [`super::lease_table`] hands leases out; [`super::txn::recovery`]
//! and [`super::writers`] complete and clean up after kilns that were killed.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::{
    commit,
    dir::lock::LockFile,
    lease::{CARE, Lease, PRIVATE, Request, UPDATE},
    lease_table::LeaseTable,
    rekey,
    txn::{
        commit_lock::{CommitGuard, in_thread},
        open_cache::Key,
        recovery::{self, Recovery},
        remarks,
    },
    writers,
};
use crate::{
    event::{Event, Sink, WarningKind},
    exit::{Code, Failure, explained},
    home::Home,
};

/// The most builds that use one cache at once, each with a directory of its own: more are a mistake.
const MOST_PRIVATE: usize = 256;

/// Takes the lease, and completes the commits of earlier leases. Waits for other users of the cache, and reports that.
///
/// # Errors
/// A time-out (6) that names the users; a cache failure (7).
pub async fn acquire(home: &Home, request: Request, sink: &mut dyn Sink) -> Result<Lease> {
    let failed = |error| explained(error, || unusable(home, &request.directory));
    let at_once =
        LeaseTable::open(home, &request.directory).and_then(|table| table.try_lock(request.lock_mode));
    let lock = match at_once.map_err(failed)? {
        Some(lock) => lock,
        None => wait(home, &request, sink).await.map_err(failed)?,
    };
    // Also in a thread: another commit may be under way, and signals are handled meanwhile.
    let (owned, wanted) = (home.clone(), request.clone());
    let begun = in_thread(sink, move |say| begin(&owned, &wanted, lock, say)).await;
    let lease = begun.context("the beginning of the lease panicked")?.map_err(failed)?;
    lease.emit_remarks(sink);
    Ok(lease)
}

async fn wait(home: &Home, request: &Request, sink: &mut dyn Sink) -> Result<LockFile> {
    let Request { directory, lock_mode, who: _, limit } = request.clone();
    let table = LeaseTable::open(home, &directory)?;
    let (who, shown) = (table.used_by(None)?, directory.display());
    let text = format!("waits, at most {limit:?}, for the cache {shown}, which is in use by {who}");
    sink.emit(Event::Note { text });
    // Abandoned at the limit: the thread, and the lock should it get one, go with the program.
    let waiting = tokio::task::spawn_blocking(move || table.wait(lock_mode));
    let Ok(waited) = tokio::time::timeout(limit, waiting).await else {
        return Err(timed_out(home, request)?.into());
    };
    waited.context("the wait for the cache panicked")?
}

/// Takes the lease if that is possible at once; `None` if not.
///
/// # Errors
/// A cache failure (7).
pub fn try_acquire(home: &Home, request: &Request) -> Result<Option<Lease>> {
    let lock = LeaseTable::open(home, &request.directory).and_then(|table| table.try_lock(request.lock_mode));
    lock.and_then(|lock| lock.map(|lock| begin(home, request, lock, remarks::log)).transpose())
        .map_err(|error| explained(error, || unusable(home, &request.directory)))
}

/// Begins the lease when its lock has been taken, and recovers.
fn begin(home: &Home, request: &Request, lock: LockFile, say: impl FnOnce(Event)) -> Result<Lease> {
    let mut lease = Lease::begin(home, request, lock)?;
    // While no commit is under way: the holder sees all of the earlier ones, and nothing of later ones.
    let guard = lease.commit_lock()?.lock_or_say(say)?;
    recover(&lease, &guard)?;
    scrub_for_killed_builds(&lease)?;
    lease.start()?;
    drop(guard);
    Ok(lease)
}

/// Ends the use of a cache. If this is the last lease, the replacements and deletions that waited for it are merged.
///
/// # Errors
/// A cache failure (7).
pub fn finish(lease: &Lease) -> Result<()> {
    recover_if_free(lease).map_err(|error| explained(error, || unusable(&lease.home, &lease.directory)))
}

/// Does nothing if another process holds the lock of commits: that process recovers again when it finishes.
fn recover_if_free(lease: &Lease) -> Result<()> {
    if !recovery::is_clean(lease)?
        && let Some(guard) = lease.commit_lock()?.try_lock()?
    {
        recover(lease, &guard)?;
    }
    Ok(())
}

/// Completes decided commits and removes the staging directories of those that were not decided.
fn recover(lease: &Lease, guard: &CommitGuard) -> Result<()> {
    let Some(recovery) = Recovery::begin(lease, guard)? else { return Ok(()) };
    rekey::adopt(lease, recovery.journal())?;
    let completed = commit::complete(lease, guard)?;
    recovery.end(lease, &completed)
}

fn scrub_for_killed_builds(lease: &Lease) -> Result<()> {
    let scrubbed = writers::recover(lease)?;
    let shown = lease.directory.display();
    if let Some(words) = scrubbed.words() {
        let text = format!("corrected in the cache {shown}, as a killed build had left it: {words}");
        lease.warn(WarningKind::KilledBuild, text);
    }
    if let Some(words) = scrubbed.failure() {
        lease.warn(WarningKind::KilledBuild, format!("a killed build has left the cache {shown}: {words}"));
    }
    Ok(())
}

/// Takes the lease of the directory, or, while another build has it, that of the first free directory that kiln keeps for such
/// builds. Waits for a user that is no build.
pub async fn private(home: &Home, request: &Request, sink: &mut dyn Sink) -> Result<Lease> {
    if let Some(lease) = try_acquire(home, request)? {
        lease.emit_remarks(sink);
        return Ok(lease);
    }
    if LeaseTable::open(home, &request.directory)?.has_only(&[CARE, UPDATE])? {
        return acquire(home, request.clone(), sink).await;
    }
    let own = home.dir(PRIVATE)?.join(Key::of(&request.directory)?.0);
    for number in 1..=MOST_PRIVATE {
        let directory = own.join(number.to_string());
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        if let Some(lease) = try_acquire(home, &Request { directory, ..request.clone() })? {
            lease.emit_remarks(sink);
            return Ok(lease);
        }
    }
    let what = format!("{MOST_PRIVATE} builds use the cache {} at once", request.directory.display());
    Err(Failure::new(Code::Cache, what, "wait for one of them to end").into())
}

fn unusable(home: &Home, directory: &Path) -> Failure {
    Failure::new(
        Code::Cache,
        format!("the cache {} cannot be used", directory.display()),
        format!(
            "see that it and kiln's own directory {} can be written and have room, or name another one with --cache-dir",
            home.root().display()
        ),
    )
}

fn timed_out(home: &Home, request: &Request) -> Result<Failure> {
    let holders = LeaseTable::open(home, &request.directory)?.used_by(None)?;
    Ok(Failure::new(
        Code::Timeout,
        format!(
            "the cache {} was not free within {:?}: it is in use by {holders}",
            request.directory.display(),
            request.limit
        ),
        "wait for that build, or raise --cache-wait; builds in --cache-mode commit run at once",
    ))
}
