//! The lease of the cache that a guest uses: acquired before the plan is made, and held until the guest has ended.

use anyhow::Result;

use super::{Context, Request, injected};
use crate::{
    cache::{self, Lease, LockMode, Request as LeaseRequest},
    ecosystem::{self, Lock},
    engine::Injected,
    event::{Event, Sink},
    plan::{CacheMount, CacheSharing, Plan},
};

/// A request that has its lease.
pub(crate) struct Leased {
    pub(super) request: Request,
    pub(super) injected: Injected,
    pub(super) lease: Option<Lease>,
}

impl Request {
    /// Loads secrets and certificates, and acquires the lease of the cache. Invalid ones are reported before the wait for the lease.
    ///
    /// # Errors
    /// For secrets and certificates that cannot be read, a cache that is not usable or not free in time, a signal.
    pub(crate) async fn lease(mut self, context: &Context<'_>, sink: &mut dyn Sink) -> Result<Leased> {
        let mut interrupts = context.interrupts.clone();
        let injected =
            injected::load(&self.options.host_settings, context.env, sink, &mut interrupts).await?;
        let lease = acquire(&mut self, context, sink).await?;
        Ok(Leased { request: self, injected, lease })
    }
}

/// Acquires the lease of the cache, and waits for it if necessary. With `private` it can be that of another directory, which the
/// request then names.
async fn acquire(request: &mut Request, context: &Context<'_>, sink: &mut dyn Sink) -> Result<Option<Lease>> {
    let Some(plan) = CacheMount::decide(&request.options) else { return Ok(None) };
    let home = context.home;
    cache::create(&plan.directory)?;
    cache::apart(home, &plan.directory)?;
    if plan.keeps() {
        cache::writable(&plan.directory)?;
    }
    if let Err(error) = cache::sweep(home) {
        tracing::debug!(error = %format!("{error:#}"), "state of removed caches stays");
    }
    let who = format!("{}, mode {}", request.recipe.package.name, plan.mode.name());
    if let Some(text) = warning(&plan) {
        sink.emit(Event::Note { text });
    }
    let lock_mode = match plan.sharing {
        CacheSharing::Shared => LockMode::Shared,
        CacheSharing::Locked | CacheSharing::Private => LockMode::Exclusive,
    };
    let lease_request =
        LeaseRequest { directory: plan.directory.clone(), lock_mode, who, limit: request.cache_wait };
    let mut interrupts = context.interrupts.clone();
    let acquiring = async {
        match plan.sharing {
            CacheSharing::Shared | CacheSharing::Locked => cache::acquire(home, lease_request, sink).await,
            CacheSharing::Private => cache::private(home, &lease_request, sink).await,
        }
    };
    let lease = tokio::select! {
        lease = acquiring => lease?,
        error = interrupts.refuse() => return Err(error),
    };
    cache::mountable(&lease)?;
    if lease.directory() != plan.directory {
        let text = format!(
            "the cache {} is in use: this build uses a cache of its own, {}",
            plan.directory.display(),
            lease.directory().display()
        );
        sink.emit(Event::Note { text });
        request.options.cache_dir = Some(lease.directory().to_owned());
    }
    Ok(Some(lease))
}

/// Called after a guest's last process has ended: removes set-id bits, device nodes and other owners from the files that it wrote
/// directly into the cache.
pub(super) fn end_writes(lease: Option<&Lease>, sink: &mut dyn Sink) -> Result<()> {
    let Some(lease) = lease else { return Ok(()) };
    let scrubbed = lease.end_writes()?;
    let corrected = scrubbed.words().map(|words| format!("corrected in the cache: {words}"));
    let failure =
        scrubbed.failure().map(|words| format!("the cache {}: {words}", lease.directory().display()));
    corrected.into_iter().chain(failure).for_each(|text| sink.emit(Event::Note { text }));
    Ok(())
}

/// The end of a guest's use of the cache.
pub(super) fn end(lease: &Lease, plan: &Plan, sink: &mut dyn Sink) -> Result<()> {
    if plan.writes_through()
        && let Err(error) = cache::remove_unused(lease)
    {
        // Best effort: empty directories do no harm.
        tracing::debug!(error = %format!("{error:#}"), "empty directories of the cache stay");
    }
    let finished = cache::finish(lease);
    lease.emit_remarks(sink);
    finished
}

/// The warning on builds that write to one directory at the same time: not every tool takes locks.
fn warning(plan: &CacheMount) -> Option<String> {
    if plan.sharing != CacheSharing::Shared || !plan.writes_through() {
        return None;
    }
    let tools_without_locks: Vec<&str> =
        ecosystem::always().filter(|tool| tool.lock == Lock::None).map(|tool| tool.name).collect();
    Some(format!(
        "builds that write to this cache at the same time can corrupt the files of {}, which take no locks: \
         --cache-sharing locked and --cache-mode commit are safe",
        tools_without_locks.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{CacheMode, CacheShare};

    #[test]
    fn a_shared_cache_for_writing_has_a_warning_that_names_tools_without_locks() {
        let plan = |mode, sharing| CacheMount::new("/c".into(), mode, CacheShare::Bind, Some(sharing));
        let text = warning(&plan(CacheMode::Rw, CacheSharing::Shared)).expect("a warning");
        assert!(text.contains("the files of composer, npm, maven, which"), "{text}");
        for (mode, sharing) in [
            (CacheMode::Rw, CacheSharing::Locked),
            (CacheMode::Rw, CacheSharing::Private),
            (CacheMode::Commit, CacheSharing::Shared),
            (CacheMode::Discard, CacheSharing::Shared),
        ] {
            assert_eq!(warning(&plan(mode, sharing)), None, "{mode:?}, {sharing:?}");
        }
    }
}
