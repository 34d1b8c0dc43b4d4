//! A launched guest -> what became of it. However it ends, what the stages before have taken is released here.

use std::path::PathBuf;

use anyhow::Result;
use kiln_protocol::{ExitStatus, Step};

use super::{Launched, lease};
use crate::{
    backend::Runner,
    cache::{self, CommitLimit, Lease},
    engine::{BuildOutcome, Commit, Console, Engine, OnFailure, Outputs},
    event::{Event, Phases, Sink},
    exit::{Code, code_of},
    package::Limits,
    plan::CacheMount,
};

/// What a build does besides its plan.
pub(crate) struct BuildTask<'a> {
    /// How much of the cache's changes a commit takes.
    pub(crate) commit_limit: CommitLimit,
    /// Who gets a shell in the place of a step that fails.
    pub(crate) console: Option<&'a mut dyn Console>,
    /// Where the workspace of a step that fails is kept, as a tar.
    pub(crate) keep: Option<PathBuf>,
    /// The command that does the same and opens a shell at a step that fails; `None` where this one does.
    pub(crate) rerun_command: Option<String>,
}

impl Launched<'_> {
    /// Runs all steps and takes the packages out of the guest; reports what became of the cache.
    ///
    /// # Errors
    /// The first of: what ended the build, what could not be cleaned up, what could not be kept in the cache.
    pub(crate) async fn build(
        self,
        task: BuildTask<'_>,
        sink: &mut dyn Sink,
        phases: &mut Phases,
    ) -> Result<()> {
        let Self { context, plan, injected, lease, mut runner, held } = self;
        let BuildTask { commit_limit: limit, console, keep, rerun_command } = task;
        let commits = plan.cache.as_ref().is_some_and(CacheMount::commits);
        let commit = lease.clone().filter(|_| commits).map(|lease| Commit { lease, limit });
        let outputs = Outputs { limits: Limits::default(), commit };
        let on_failure = OnFailure { console, keep, rerun_command };
        let engine = Engine { plan: &plan, sink, interrupts: context.interrupts.clone(), injected, phases };
        let BuildOutcome { result, writes, reused } =
            engine.build(runner.as_mut(), outputs, on_failure).await;
        // A step that failed has said what it lacked.
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

    /// Runs one command, with a person or a pipe at its other end.
    ///
    /// # Errors
    /// As [`Self::build`]; how the command ends is no error.
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

/// Whether the user knows already what the guest lacked.
enum Shortages {
    Reported,
    Unreported,
}

/// Stops what still runs, and looks after what it has written straight into the cache.
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
