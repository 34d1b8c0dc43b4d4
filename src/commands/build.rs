//! `kiln build`: from a build file to packages.

mod events;
mod workspace;

use std::env;

use anyhow::Result;

pub(super) use events::finished;

use self::events::BuildEvents;
use super::{options, progress::LiveReporter, recipe, rerun_command, signals, unsupported};
use crate::{
    build::{BuildTask, Context, Request},
    cli::BuildArgs,
    console::{Console, OutputStream},
    engine,
    env::Env,
    event::{Event, Phases, Sink},
    exit::{Code, code_of},
    home::Home,
    package,
    process::Spawner,
    report::Logs,
    rundir::{self, RunDir},
    secret,
};

/// Builds, and reports the result; returns the exit code.
pub(super) async fn run(args: &BuildArgs, env: &Env) -> Result<Code> {
    let live = LiveReporter::new(args.progress);
    let mut sink = BuildEvents::new(live.clone());
    for text in unsupported::notes(&args.unsupported) {
        sink.emit(Event::Note { text });
    }
    let spawner = Spawner::start()?.withhold(secret::variables(&args.machine.secret));
    let mut phases = Phases::begin("plan");
    let work = signals::guard(async |interrupts| {
        let home = Home::find(env)?;
        rundir::sweep(&home)?;
        let run_dir = RunDir::create(&home, &spawner)?;
        let console = args.interactive.then(|| console(&spawner)).transpose()?;
        let (spawner, sink, phases) = (&spawner, &mut sink, &mut phases);
        let context = Context { env, home: &home, spawner, run_dir: run_dir.path(), interrupts };
        let result = Run { args, context, console, sink, phases }.run().await;
        workspace::keep(run_dir, args, sink)?;
        result
    });
    let result = live.during(work).await;
    let logs = sink.logs().map(|logs| logs.directory().to_owned());
    sink.emit(finished(&result, phases, logs));
    spawner.finish()?;
    Ok(result.unwrap_or_else(|error| code_of(&error)))
}

/// The terminal of `-i`, which shows the build's progress as well.
fn console(spawner: &Spawner) -> Result<Console> {
    Console::terminal(
        OutputStream::Stderr,
        spawner.terminals(),
        "-i",
        "run it in a terminal, or leave -i out; --keep-on-failure keeps the workspace",
    )
}

struct Run<'a> {
    args: &'a BuildArgs,
    context: Context<'a>,
    /// The terminal for a shell in place of a step that fails.
    console: Option<Console>,
    sink: &'a mut BuildEvents,
    phases: &'a mut Phases,
}

impl Run<'_> {
    async fn run(&mut self) -> Result<Code> {
        let Self { args, context, console, sink, phases } = self;
        let file = recipe::file(args.file.as_deref())?;
        let loaded = recipe::load_unless(&mut context.interrupts, &file, &args.recipe, *sink).await?;
        let Some(recipe) = loaded else { return Ok(Code::Success) };
        let options = options::options(&args.machine, context.env, &file)?;
        let (commit_limit, cache_wait) = (args.machine.cache_commit_limit, args.machine.cache_wait);
        package::check_writable(&options.out_dir)?;
        phases.enter("wait");
        let leased = Request { recipe, options, cache_wait }.lease(context, *sink).await?;
        phases.enter("plan");
        let prepared = leased.prepare(context, *sink).await?;
        sink.announce(prepared.plan());
        let logs = context.home.dir("logs");
        let logs = logs.and_then(|dir| Logs::open(&dir, &prepared.plan().package.name, *sink));
        sink.open(logs);
        let console_log = sink.logs().map(Logs::console);
        let launched = prepared.launch(context, console_log.as_deref(), *sink, phases).await?;
        let task = BuildTask {
            commit_limit,
            console: console.as_mut().map(|console| console as &mut dyn engine::Console),
            keep: args.keep_on_failure.then(|| context.run_dir.join(workspace::FILE)),
            rerun_command: (!args.interactive).then(|| rerun_command::interactive(env::args_os())),
        };
        launched.build(task, *sink, phases).await?;
        Ok(Code::Success)
    }
}
