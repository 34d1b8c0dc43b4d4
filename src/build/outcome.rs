//! A launched guest -> its outcome. Whatever the outcome, this releases everything that the stages before have acquired.

use std::path::PathBuf;

use anyhow::Result;
use kiln_protocol::{ExitStatus, Step};

use super::{Launched, lease, packaging};
use crate::{
    apk::SigningKey,
    backend::Runner,
    cache::{self, CommitLimit, Lease},
    engine::{BuildOutcome, Commit, Console, Engine, OnFailure, Outputs},
    event::{Event, Phases, Sink},
    exit::{Code, code_of},
    package::Limits,
    plan::CacheMount,
};

/// The parameters of a build besides its plan.
pub(crate) struct BuildTask<'a> {
    /// The limit on the changes of a commit.
    pub(crate) commit_limit: CommitLimit,
    /// The key that signs packages; `None` for packages without a signature.
    pub(crate) key: Option<SigningKey>,
    /// The console for a shell in place of a failed step.
    pub(crate) console: Option<&'a mut dyn Console>,
    /// The tar file to which the workspace of a failed step is exported.
    pub(crate) keep: Option<PathBuf>,
    /// The command that repeats the build with a shell at a failed step; `None` if this build has one.
    pub(crate) rerun_command: Option<String>,
}

impl Launched<'_> {
    /// Runs all steps, exports the packages, and reports on the cache.
    ///
    /// # Errors
    /// The first error of the build, of the clean-up, and of the cache.
    pub(crate) async fn build(
        self,
        task: BuildTask<'_>,
        sink: &mut dyn Sink,
        phases: &mut Phases,
    ) -> Result<()> {
        let Self { context, plan, injected, lease, mut runner, held } = self;
        let BuildTask { commit_limit: limit, key, console, keep, rerun_command } = task;
        let commits = plan.cache.as_ref().is_some_and(CacheMount::commits);
        let commit = lease.clone().filter(|_| commits).map(|lease| Commit { lease, limit });
        let form = packaging::form(&plan, &injected, key);
        let outputs = Outputs { limits: Limits::default(), form, commit };
        let on_failure = OnFailure { console, keep, rerun_command };
        let engine = Engine { plan: &plan, sink, interrupts: context.interrupts.clone(), injected, phases };
        let BuildOutcome { result, writes, reused } =
            engine.build(runner.as_mut(), outputs, on_failure).await;
        // The error of a failed step names exhausted resources.
        let is_reported = result.as_ref().is_err_and(|error| code_of(error) == Code::Step);
        let shortages = if is_reported { Shortages::Reported } else { Shortages::Unreported };
        let stopped = stop(runner, shortages, lease.as_deref(), sink, phases).await;
        let writes = match &plan.cache {
            Some(cache) if cache.writes_through() => cache::written(context.home, cache, held.as_ref())?,
            Some(_) | None => writes,
        };
        let reused = reused.settled(held.as_ref());
        let report = cache::report(plan.cache.as_ref(), held.as_ref(), &writes, &reused, result.is_ok());
        sink.emit(Event::Cache(report));
        let released = lease.map_or(Ok(()), |lease| lease::end(&lease, &plan, sink));
        result.and(stopped).and(released)
    }

    /// Runs one command, with a terminal or a pipe at its other end.
    ///
    /// # Errors
    /// As [`Self::build`]. An exit status of the command is not an error.
    pub(crate) async fn run_command(
        self,
        step: Step,
        console: &mut dyn Console,
        sink: &mut dyn Sink,
        phases: &mut Phases,
    ) -> Result<ExitStatus> {
        let Self { context, plan, injected, lease, mut runner, held: _ } = self;
        let engine = Engine { plan: &plan, sink, interrupts: context.interrupts.clone(), injected, phases };
        let result = engine.run_command(runner.as_mut(), step, console).await;
        let stopped = stop(runner, Shortages::Unreported, lease.as_deref(), sink, phases).await;
        let released = lease.map_or(Ok(()), |lease| lease::end(&lease, &plan, sink));
        result.and_then(|status| stopped.and(released).map(|()| status))
    }
}

/// Whether exhausted resources have been reported.
enum Shortages {
    Reported,
    Unreported,
}

/// Stops the guest, and scrubs the files that it has written directly into the cache.
async fn stop(
    mut runner: Box<dyn Runner + '_>,
    shortages: Shortages,
    lease: Option<&Lease>,
    sink: &mut dyn Sink,
    phases: &mut Phases,
) -> Result<()> {
    phases.enter("shutdown");
    let cleaned = runner.clean().await;
    phases.enter("cache");
    let events = match shortages {
        Shortages::Reported => Vec::new(),
        Shortages::Unreported => runner.shortages(),
    };
    let events = events.into_iter().map(|text| Event::Note { text });
    runner.remarks().into_iter().chain(events).for_each(|event| sink.emit(event));
    drop(runner);
    let scrubbed = lease::end_writes(lease, sink);
    cleaned.and(scrubbed)
}
