//! `kiln build`: the whole line, from a build file to packages.

use std::{env, time::Duration};

use anyhow::Result;

use super::{again, options, progress::LiveReporter, recipe, signals, unsupported};
use crate::{
    build::{BuildTask, Context, Request},
    cli::BuildArgs,
    console::{Console, OutputStream},
    engine,
    env::Env,
    event::{Event, Outcome, Phases, Sink},
    exit::{Code, code_of, faults_of, way_out_of},
    home::Home,
    package,
    plan::Plan,
    process::Spawner,
    report::Logs,
    rundir::{self, RunDir},
    secret,
};

/// The workspace of a step that failed, in the directory of its run.
const WORKSPACE_FILE: &str = "workspace.tar";

/// Builds; returns the code to exit with, after all was reported.
pub(super) async fn run(args: &BuildArgs, env: &Env) -> Result<Code> {
    let live = LiveReporter::new(args.progress);
    let mut sink = Shown { live: live.clone(), logs: Kept::Later(Vec::new()) };
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
        keep_workspace(run_dir, args, sink)?;
        result
    });
    let result = live.during(work).await;
    let code = result.as_ref().map_or_else(code_of, |code| *code);
    let (duration, phases) = phases.finish();
    sink.emit(Event::Finished {
        outcome: outcome(code),
        exit_code: code as u8,
        duration,
        phases,
        logs: sink.logs().map(|logs| logs.directory().to_owned()),
        error: result.as_ref().err().map(|error| format!("{error:#}")),
        way_out: result.as_ref().err().and_then(way_out_of).map(str::to_owned),
        faults: result.as_ref().err().map(faults_of).unwrap_or_default(),
    });
    spawner.finish()?;
    Ok(code)
}

/// The person at the terminal, which shows the build's progress as well.
fn console(spawner: &Spawner) -> Result<Console> {
    Console::terminal(
        OutputStream::Stderr,
        spawner.terminals(),
        "-i",
        "run it in a terminal, or leave -i out; --keep-on-failure keeps the workspace",
    )
}

fn outcome(code: Code) -> Outcome {
    match code {
        Code::Success => Outcome::Success,
        Code::Timeout => Outcome::TimedOut,
        Code::Interrupted | Code::Terminated => Outcome::Interrupted,
        Code::Defect
        | Code::Usage
        | Code::BuildFile
        | Code::Host
        | Code::Step
        | Code::Cache
        | Code::Package => Outcome::Failed,
    }
}

/// Events on their way to the reporter and the log files.
struct Shown {
    live: LiveReporter,
    logs: Kept,
}

/// Where events are kept.
enum Kept {
    /// In files, once there are any; with the time of each.
    Later(Vec<(Duration, Event)>),
    Files(Box<Logs>),
    /// There will be none.
    Nowhere,
}

impl Shown {
    /// A build is not worth less for a home that is full.
    fn open(&mut self, logs: Result<Logs>) {
        let before = std::mem::replace(&mut self.logs, Kept::Nowhere);
        match (logs, before) {
            (Ok(mut logs), Kept::Later(events)) => {
                events.iter().for_each(|(at, event)| logs.record(event, *at));
                self.logs = Kept::Files(Box::new(logs));
            }
            (Ok(_), before @ (Kept::Files(_) | Kept::Nowhere)) => self.logs = before,
            (Err(error), _) => {
                self.emit(Event::Note { text: format!("no log of this build is kept: {error:#}") })
            }
        }
    }

    fn announce(&mut self, plan: &Plan) {
        self.emit(Event::Plan {
            package: plan.package.to_string(),
            arch: plan.arch.clone(),
            runner: plan.runner(),
            steps: plan.steps.len(),
            image: plan.image.to_string(),
            cache_dir: plan.cache.as_ref().map(|cache| cache.directory.clone()),
        });
    }

    fn logs(&self) -> Option<&Logs> {
        match &self.logs {
            Kept::Files(logs) => Some(logs),
            Kept::Later(_) | Kept::Nowhere => None,
        }
    }
}

impl Sink for Shown {
    fn emit(&mut self, event: Event) {
        let at = self.live.now();
        match &mut self.logs {
            Kept::Files(logs) => logs.record(&event, at),
            Kept::Later(events) => events.push((at, event.clone())),
            Kept::Nowhere => {}
        }
        self.live.emit_at(event, at);
    }
}

struct Run<'a> {
    args: &'a BuildArgs,
    context: Context<'a>,
    /// Who gets a shell in the place of a step that fails.
    console: Option<Console>,
    sink: &'a mut Shown,
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
            keep: args.keep_on_failure.then(|| context.run_dir.join(WORKSPACE_FILE)),
            rerun_command: (!args.interactive).then(|| again::interactive(env::args_os())),
        };
        launched.build(task, *sink, phases).await?;
        Ok(Code::Success)
    }
}

/// Moves the workspace of a step that failed, if there is one, to where it stays, and says where and how to use it.
fn keep_workspace(run_dir: RunDir, args: &BuildArgs, sink: &mut dyn Sink) -> Result<()> {
    if !run_dir.path().join(WORKSPACE_FILE).exists() {
        return Ok(());
    }
    let path = run_dir.keep()?.join(WORKSPACE_FILE);
    let path = again::quoted(&path.display().to_string());
    let text = format!(
        "the workspace of the failed step is kept: {path}\n\
         a shell with it: mkdir work && tar -C work -xf {path} && {}",
        again::shell(args, "work"),
    );
    sink.emit(Event::Note { text });
    Ok(())
}
