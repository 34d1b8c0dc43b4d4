//! From a plan and its backend to a guest that can be started.

use std::{os::fd::AsFd, path::Path, sync::Arc};

use anyhow::Result;

use super::{Context, Prepared, Resolved, packages};
use crate::{
    backend::{Launch, Runner},
    cache::{self, Lease, Usage},
    engine::Injected,
    event::{Phases, Sink},
    logfile::LogFile,
    plan::Plan,
    report,
};

/// A guest that can be started.
pub(crate) struct Launched<'a> {
    pub(super) context: Context<'a>,
    pub(super) plan: Plan,
    pub(super) injected: Injected,
    pub(super) lease: Option<Arc<Lease>>,
    pub(super) runner: Box<dyn Runner + 'a>,
    /// The content of the cache before the build; `None` for a command, which has no report on the cache.
    pub(super) held: Option<Usage>,
}

impl Prepared {
    /// Makes the image if it is missing, and the runner. The guest's console is written to `console_log`, too, if it is set.
    ///
    /// # Errors
    /// When the image, the cache or the backend fails, and on a signal.
    pub(crate) async fn launch<'a>(
        self,
        context: &Context<'a>,
        console_log: Option<&Path>,
        sink: &mut dyn Sink,
        phases: &mut Phases,
    ) -> Result<Launched<'a>> {
        let Self { resolved, request, injected, lease, reports_cache } = self;
        let (context, lease) = (context.clone(), lease.map(Arc::new));
        phases.enter("image");
        let mut interrupts = context.interrupts.clone();
        let making = async {
            let (Resolved { store, plan, .. }, spawner) = (&resolved, context.spawner);
            packages::check(store, &plan.image, &request.recipe.requests, spawner, sink).await?;
            store.ensure(&plan.image, spawner, sink).await
        };
        let image = tokio::select! {
            image = making => image?,
            error = interrupts.refuse() => return Err(error),
        };
        phases.enter("cache");
        let held = match &resolved.plan.cache {
            Some(cache) if reports_cache => cache::held(context.home, &cache.directory, cache.access)?,
            Some(_) | None => None,
        };
        phases.enter(resolved.backend.phase());
        let Resolved { plan, store, backend } = &resolved;
        let spawner = context.spawner;
        if let Some(lease) = &lease {
            // A sandbox and a container do not hold the lease: if kiln is killed, the reaper holds it until it has ended them.
            spawner.hold(lease.share()?.as_fd());
            if plan.writes_through() {
                lease.begin_writes()?;
            }
        }
        let Context { env, home, run_dir, .. } = context;
        let console_log = |sink: &mut dyn Sink| -> Option<LogFile> {
            console_log.and_then(|path| report::console_log(path, sink))
        };
        let (lease_ref, console_log) = (lease.as_deref(), &console_log);
        let launch =
            Launch { env, home, spawner, run_dir, plan, store, image: &image, lease: lease_ref, console_log };
        // A template may have to be made, which takes as long as a boot.
        let runner = tokio::select! {
            runner = backend.runner(launch, sink) => runner?,
            error = interrupts.refuse() => return Err(error),
        };
        phases.enter("boot");
        Ok(Launched { context, plan: resolved.plan, injected, lease, runner, held })
    }
}
