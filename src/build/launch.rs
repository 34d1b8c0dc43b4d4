//! From a plan and what was found on this host to a guest that can be started.

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

/// A guest that can be started: nothing of the build runs yet.
pub(crate) struct Launched<'a> {
    pub(super) context: Context<'a>,
    pub(super) plan: Plan,
    pub(super) injected: Injected,
    pub(super) lease: Option<Arc<Lease>>,
    pub(super) runner: Box<dyn Runner + 'a>,
    /// What the cache held before; for a command, which reports nothing of it, it is not counted.
    pub(super) held: Option<Usage>,
}

impl Prepared {
    /// Makes the image, if there is none yet, and the runner with everything that it needs. The console goes to
    /// `console_log` as well, if there is one.
    ///
    /// # Errors
    /// For an image, a cache or a backend that cannot be had, and a signal.
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
            // A sandbox and a container hold nothing of kiln's: if kiln is killed, the reaper ends them.
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
        let runner = backend.runner(launch, sink).await?;
        phases.enter("boot");
        Ok(Launched { context, plan: resolved.plan, injected, lease, runner, held })
    }
}
