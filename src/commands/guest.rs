//! A command of a person in a fresh guest, for `kiln run` and `kiln shell`. The guest is made as that of a build.
//!
//! stdout gets the output of the command and nothing else. kiln itself writes to stderr: progress, a line about the guest for a
//! person with a terminal in it, and errors, with the exit code 125 of `docker run`.

mod bare;
mod status;

use anyhow::Result;
use kiln_protocol::{ExitStatus, Stdin};

pub(super) use bare::{options_of_bare, recipe_of_bare};
pub(super) use status::{OWN_FAILURE, code_of_error, exit_code};

use super::{
    greeting::greeting,
    signals,
    waiting::{self, Waiting},
};
use crate::{
    build::{Context, Request},
    cli::MachineArgs,
    compile::Recipe,
    console::Console,
    engine::Console as _,
    env::Env,
    event::Phases,
    exit::Failure,
    home::Home,
    plan::{BuildOptions, CacheModeOption, InteractiveCommand},
    process::Spawner,
    rundir::{self, RunDir},
};

/// A command, its guest, and its terminal or pipes.
pub(super) struct Guest<'a> {
    pub(super) recipe: Recipe,
    pub(super) options: BuildOptions,
    pub(super) machine: &'a MachineArgs,
    pub(super) wanted: InteractiveCommand,
    pub(super) console: Console,
    pub(super) waiting: Waiting,
}

impl Guest<'_> {
    /// Runs the command in a guest of its own.
    pub(super) async fn run(self, env: &Env, spawner: Spawner) -> Result<ExitStatus> {
        let live = self.waiting.live();
        let work = signals::guard(async |interrupts| {
            let home = Home::find(env)?;
            rundir::sweep(&home)?;
            let run_dir = RunDir::create(&home, &spawner)?;
            let context =
                Context { env, home: &home, spawner: &spawner, run_dir: run_dir.path(), interrupts };
            self.launch(&context).await
        });
        let result = waiting::during(&live, work).await;
        spawner.finish()?;
        result
    }

    async fn launch(self, context: &Context<'_>) -> Result<ExitStatus> {
        let Self { recipe, options, machine, wanted, mut console, waiting: mut sink } = self;
        if options.cache_mode == CacheModeOption::Commit {
            return Err(Failure::usage(
                "--cache-mode commit is for builds: it keeps the writes of a build that succeeds",
                "use --cache-mode rw to write to the cache, or discard",
            )
            .into());
        }
        let mut phases = Phases::begin("plan");
        let request = Request { recipe, options, cache_wait: machine.cache_wait };
        // A wait for other builds may be long, so it is shown.
        let leased = request.lease(context, &mut sink.live()).await?;
        let prepared = leased.prepare(context, &mut sink).await?;
        let (prepared, step) = prepared.for_command(&wanted, console.stdin());
        if matches!(step.stdin, Stdin::Terminal(_)) {
            sink.greet(greeting(prepared.plan(), &step, &wanted));
        }
        let launched = prepared.launch(context, None, &mut sink, &mut phases).await?;
        launched.run_command(step, &mut console, &mut sink, &mut phases).await
    }
}
