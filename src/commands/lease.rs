//! The lease of the cache that a guest uses: taken before it is planned in full, held for as long as it lives.

use anyhow::Result;

use super::wishes;
use crate::{
    cache::{self, Lease, Request, Strength},
    cli::MachineArgs,
    engine::Interrupts,
    event::{Event, Sink},
    home::Home,
    plan::{self, CacheSharing, Wishes},
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
        if let Err(error) = cache::sweep(self.home) {
            tracing::debug!(error = %format!("{error:#}"), "what is left of caches that are gone stays");
        }
        let who = format!("{}, mode {}", name, plan.mode.name());
        let limit = wishes::cache_wait(&args.cache_wait)?;
        let request = |directory, strength| Request { directory, strength, who: who.clone(), limit };
        let lease = match plan.sharing {
            CacheSharing::Shared => request(plan.directory, Strength::Shared),
            CacheSharing::Locked => request(plan.directory, Strength::Exclusive),
            CacheSharing::Private => {
                let lease = cache::private(self.home, &request(plan.directory.clone(), Strength::Exclusive))?;
                if lease.directory() != plan.directory {
                    let text = format!(
                        "the cache {} is in use: this build has one of its own, {}",
                        plan.directory.display(),
                        lease.directory().display()
                    );
                    self.sink.emit(Event::Note { text });
                    wishes.cache_dir = Some(lease.directory().to_owned());
                }
                return Ok(Some(lease));
            }
        };
        let Self { home, sink, mut interrupts } = self;
        tokio::select! {
            lease = Lease::acquire(home, lease, sink) => lease.map(Some),
            error = interrupts.refuse() => Err(error),
        }
    }
}
