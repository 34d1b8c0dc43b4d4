//! The lease of the cache that a guest uses: taken before it is planned in full, held for as long as it lives.

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
    /// Loads what is injected into the guest, and takes the lease of the cache. All that can be wrong is found before
    /// others are waited for.
    ///
    /// # Errors
    /// For secrets and certificates that cannot be read, a cache that cannot be used or had in time, a signal.
    pub(crate) async fn lease(mut self, context: &Context<'_>, sink: &mut dyn Sink) -> Result<Leased> {
        let mut interrupts = context.interrupts.clone();
        let injected =
            injected::load(&self.options.host_settings, context.env, sink, &mut interrupts).await?;
        let lease = acquire(&mut self, context, sink).await?;
        Ok(Leased { request: self, injected, lease })
    }
}

/// Takes the lease of the cache, waiting for it if need be; with `private` it may be that of another directory, and the
/// request names that one from then on.
async fn acquire(request: &mut Request, context: &Context<'_>, sink: &mut dyn Sink) -> Result<Option<Lease>> {
    let Some(plan) = CacheMount::decide(&request.options) else { return Ok(None) };
    let home = context.home;
    cache::create(&plan.directory)?;
    cache::apart(home, &plan.directory)?;
    if plan.keeps() {
        cache::writable(&plan.directory)?;
    }
    if let Err(error) = cache::sweep(home) {
        tracing::debug!(error = %format!("{error:#}"), "what is left of caches that are gone stays");
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
            "the cache {} is in use: this build has one of its own, {}",
            plan.directory.display(),
            lease.directory().display()
        );
        sink.emit(Event::Note { text });
        request.options.cache_dir = Some(lease.directory().to_owned());
    }
    Ok(Some(lease))
}

/// After a guest's last process has ended: what it wrote straight into the cache keeps no rights there, and no other owner.
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
        // They are in nobody's way.
        tracing::debug!(error = %format!("{error:#}"), "empty directories of the cache stay");
    }
    let finished = cache::finish(lease);
    lease.emit_remarks(sink);
    finished
}

/// What is said to those who let builds write one directory at the same time: not every tool is safe there.
fn warning(plan: &CacheMount) -> Option<String> {
    if plan.sharing != CacheSharing::Shared || !plan.writes_through() {
        return None;
    }
    let tools_without_locks: Vec<&str> =
        ecosystem::always().filter(|tool| tool.lock == Lock::None).map(|tool| tool.name).collect();
    Some(format!(
        "builds that write this cache at the same time can spoil what {} keep there, which take no locks: \
         --cache-sharing locked, or --cache-mode commit, is safe",
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
        assert!(text.contains("what composer, npm, maven keep"), "{text}");
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
