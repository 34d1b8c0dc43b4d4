//! What every build and test has around it: events and their log files, signals, a run directory, and a last event.

use std::path::PathBuf;

use anyhow::Result;

use super::{
    events::{BuildEvents, finished},
    workspace,
};
use crate::{
    apk::SigningKey,
    build::{BuildTask, Context, Prepared, Request},
    cli::{BuildArgs, MachineArgs},
    commands::{progress::LiveReporter, signals},
    engine::Console,
    env::Env,
    event::{Phases, Sink},
    exit::Code,
    home::Home,
    process::Spawner,
    report::{Logs, Progress},
    rundir::{self, RunDir},
    secret,
};

/// What the work of a life uses.
pub(in crate::commands) struct Parts<'a> {
    pub(in crate::commands) context: Context<'a>,
    pub(in crate::commands) sink: &'a mut BuildEvents,
    pub(in crate::commands) phases: &'a mut Phases,
}

/// What a build does besides running its steps.
#[derive(Default)]
pub(in crate::commands) struct Extras<'a> {
    /// The key that signs packages.
    pub(in crate::commands) key: Option<SigningKey>,
    /// The terminal for a shell in the place of the step.
    pub(in crate::commands) console: Option<&'a mut dyn Console>,
    /// The file to which the workspace is written.
    pub(in crate::commands) keep: Option<PathBuf>,
    /// The command that repeats the build with a shell at the failed step.
    pub(in crate::commands) rerun_command: Option<String>,
}

/// Runs `work` with its parts, and shows its events, the last of which says how it ended. `build` is the command line of a build, whose
/// workspace may be kept.
///
/// # Errors
/// When kiln cannot run at all. An error of the work is the inner result.
pub(in crate::commands) async fn live(
    progress: Progress,
    machine: &MachineArgs,
    build: Option<&BuildArgs>,
    env: &Env,
    work: impl AsyncFnOnce(&mut Parts<'_>) -> Result<Code>,
) -> Result<Result<Code>> {
    let live = LiveReporter::new(progress);
    let mut sink = BuildEvents::new(live.clone());
    let spawner = Spawner::start()?.withhold(secret::variables(&machine.secret));
    let mut phases = Phases::begin("plan");
    let guarded = signals::guard(async |interrupts| {
        let home = Home::find(env)?;
        rundir::sweep(&home)?;
        let run_dir = RunDir::create(&home, &spawner)?;
        let context = Context { env, home: &home, spawner: &spawner, run_dir: run_dir.path(), interrupts };
        let mut parts = Parts { context, sink: &mut sink, phases: &mut phases };
        let result = work(&mut parts).await;
        if let Some(args) = build {
            workspace::keep(run_dir, args, &mut sink)?;
        }
        result
    });
    let result = live.during(guarded).await;
    let logs = sink.logs().map(|logs| logs.directory().to_owned());
    sink.emit(finished(&result, phases, logs));
    spawner.finish()?;
    Ok(result)
}

impl Parts<'_> {
    /// Runs a request to its end. `change` may change what was prepared.
    ///
    /// # Errors
    /// The first error of a stage.
    pub(in crate::commands) async fn build(
        &mut self,
        request: Request,
        machine: &MachineArgs,
        extras: Extras<'_>,
        change: impl FnOnce(Prepared) -> Prepared,
    ) -> Result<()> {
        let Self { context, sink, phases } = self;
        phases.enter("wait");
        let leased = request.lease(context, *sink).await?;
        phases.enter("plan");
        let prepared = change(leased.prepare(context, *sink).await?);
        sink.announce(prepared.plan());
        let logs = context.home.dir("logs");
        let logs = logs.and_then(|dir| Logs::open(&dir, &prepared.plan().package.name, *sink));
        sink.open(logs);
        let console_log = sink.logs().map(Logs::console);
        let launched = prepared.launch(context, console_log.as_deref(), *sink, phases).await?;
        let Extras { key, console, keep, rerun_command } = extras;
        let task = BuildTask { commit_limit: machine.cache_commit_limit, key, console, keep, rerun_command };
        launched.build(task, *sink, phases).await
    }
}
