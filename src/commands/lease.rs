//! The lease of the cache that a guest uses: taken before it is planned in full, held for as long as it lives.

use anyhow::Result;

use super::wishes;
use crate::{
    cache::{self, Lease, Request, Strength},
    cli::MachineArgs,
    ecosystem::{self, Lock},
    engine::Interrupts,
    event::{Event, Sink},
    home::Home,
    plan::{self, CacheMode, CachePlan, CacheSharing, CacheWrites, Plan, Wishes},
};

/// Who asks for it.
pub(super) struct Asking<'a> {
    pub home: &'a Home,
    pub sink: &'a mut dyn Sink,
    pub interrupts: Interrupts,
}

impl Asking<'_> {
    /// Takes the lease of the cache, waiting for it if need be; with `private` it may be that of another directory.
    pub(super) async fn acquire(
        self,
        name: &str,
        wishes: &mut Wishes,
        args: &MachineArgs,
    ) -> Result<Option<Lease>> {
        let Some(plan) = plan::cache_plan(wishes)? else { return Ok(None) };
        cache::create(&plan.directory)?;
        cache::apart(self.home, &plan.directory)?;
        if matches!(plan.mode, CacheMode::Rw | CacheMode::Commit) {
            cache::writable(&plan.directory)?;
        }
        if let Err(error) = cache::sweep(self.home) {
            tracing::debug!(error = %format!("{error:#}"), "what is left of caches that are gone stays");
        }
        let who = format!("{}, mode {}", name, plan.mode.name());
        let limit = wishes::cache_wait(&args.cache_wait)?;
        if let Some(text) = warning(&plan) {
            self.sink.emit(Event::Note { text });
        }
        let strength = match plan.sharing {
            CacheSharing::Shared => Strength::Shared,
            CacheSharing::Locked | CacheSharing::Private => Strength::Exclusive,
        };
        let request = Request { directory: plan.directory.clone(), strength, who, limit };
        let Self { home, sink, mut interrupts } = self;
        let acquiring = async {
            match plan.sharing {
                CacheSharing::Shared | CacheSharing::Locked => Lease::acquire(home, request, sink).await,
                CacheSharing::Private => cache::private(home, &request, sink).await,
            }
        };
        let lease = tokio::select! {
            lease = acquiring => lease?,
            error = interrupts.refuse() => return Err(error),
        };
        if lease.directory() != plan.directory {
            let text = format!(
                "the cache {} is in use: this build has one of its own, {}",
                plan.directory.display(),
                lease.directory().display()
            );
            sink.emit(Event::Note { text });
            wishes.cache_dir = Some(lease.directory().to_owned());
        }
        Ok(Some(lease))
    }
}

/// After a guest's last process has ended: what it wrote straight into the cache keeps no rights there, and no other owner.
pub(super) fn end_writes(lease: Option<&Lease>, sink: &mut dyn Sink) -> Result<()> {
    let Some(lease) = lease else { return Ok(()) };
    let scrubbed = lease.end_writes()?;
    let mended = scrubbed.words().map(|words| format!("mended in the cache: {words}"));
    let failure =
        scrubbed.failure().map(|words| format!("the cache {}: {words}", lease.directory().display()));
    mended.into_iter().chain(failure).for_each(|text| sink.emit(Event::Note { text }));
    Ok(())
}

/// The end of a guest's use of the cache.
pub(super) fn end(lease: &Lease, plan: &Plan) -> Result<()> {
    if plan.writes_through()
        && let Err(error) = lease.remove_unused()
    {
        // They are in nobody's way.
        tracing::debug!(error = %format!("{error:#}"), "empty directories of the cache stay");
    }
    lease.finish()
}

/// What is said to those who let builds write one directory at the same time: not every tool is safe there.
fn warning(plan: &CachePlan) -> Option<String> {
    if plan.sharing != CacheSharing::Shared || plan.mode.writes() != CacheWrites::Through {
        return None;
    }
    let careless: Vec<&str> =
        ecosystem::always().filter(|tool| tool.lock == Lock::None).map(|tool| tool.name).collect();
    Some(format!(
        "builds that write this cache at the same time can spoil what {} keep there, which take no locks: \
         --cache-sharing locked, or --cache-mode commit, is safe",
        careless.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::CacheShare;

    #[test]
    fn who_lets_builds_write_at_the_same_time_is_told_whose_directories_they_can_spoil() {
        let plan =
            |mode, sharing| CachePlan { directory: "/c".into(), mode, share: CacheShare::Bind, sharing };
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
