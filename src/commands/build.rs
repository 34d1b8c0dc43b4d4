//! `kiln build`: the whole line, from a build file to packages.

use std::{env, sync::Arc, time::Duration};

use anyhow::Result;

use super::{
    again,
    launch::Launch,
    lease,
    live::Live,
    offline,
    prepare::{self, Prepared, Question},
    recipe, signals, unsupported, wishes,
};
use crate::{
    cache::{self, CommitLimit, Held, Lease, Reused, Writes},
    cli::BuildArgs,
    console::{Console, Outlet},
    engine::{self, Commit, Engine, Gifts, Interrupts},
    env::Env,
    event::{Event, Outcome, Phases, Sink},
    exit::{Code, code_of, faults_of, way_out_of},
    home::Home,
    package::{self, Limits},
    plan::{CacheMode, Plan, RunnerKind},
    process::Spawner,
    report::Logs,
    rundir::{self, RunDir},
    secret,
};

/// The workspace of a step that failed, in the directory of its run.
const WORKSPACE_FILE: &str = "workspace.tar";

/// Builds; returns the code to exit with, after all was reported.
pub(super) async fn run(args: &BuildArgs, env: &Env) -> Result<Code> {
    let live = Live::new(args.progress);
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
        let keep = args.keep_on_failure;
        let mut build = Build { env, home, spawner, run_dir, interrupts, console, keep, sink, phases };
        let result = build.run(args).await;
        build.keep_what_was_left(args)?;
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
        Outlet::Stderr,
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
    live: Live,
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

struct Build<'a> {
    env: &'a Env,
    home: Home,
    spawner: &'a Spawner,
    run_dir: RunDir,
    interrupts: Interrupts,
    /// Who gets a shell in the place of a step that fails.
    console: Option<Console>,
    /// Whether the workspace of a step that fails is kept.
    keep: bool,
    sink: &'a mut Shown,
    phases: &'a mut Phases,
}

/// What a build has made of the cache, and what that was before.
struct Use {
    held: Option<Held>,
    writes: Writes,
    reused: Reused,
}

impl Build<'_> {
    async fn run(&mut self, args: &BuildArgs) -> Result<Code> {
        let file = recipe::file(args.file.as_deref())?;
        let loaded = recipe::load_unless(&mut self.interrupts, &file, &args.recipe, self.sink).await?;
        let Some(recipe) = loaded else { return Ok(Code::Success) };
        let mut wishes = wishes::wishes(&args.machine, self.env, &file)?;
        let commit_limit = wishes::commit_limit(&args.machine.cache_commit_limit, "--cache-commit-limit")?;
        package::check_writable(&wishes.out_dir)?;
        // All that can be wrong is found before others are waited for.
        let gifts =
            super::supplies::load(&wishes.supplies, self.env, self.sink, &mut self.interrupts).await?;
        let asking = lease::Asking { home: &self.home, sink: self.sink, interrupts: self.interrupts.clone() };
        self.phases.enter("wait");
        let lease = asking.acquire(&recipe.package.name, &mut wishes, &args.machine).await?;
        self.phases.enter("plan");
        offline::check(&recipe, &wishes)?;
        let question = Question {
            recipe: &recipe,
            wishes: &wishes,
            accelerator: wishes::accelerator(args.machine.accel),
            env: self.env,
            home: &self.home,
            spawner: self.spawner,
        };
        let prepared = prepare::prepare(question, self.sink).await?;
        self.announce(&prepared.plan);
        let logs = self.home.dir("logs");
        self.sink.open(logs.and_then(|dir| Logs::open(&dir, &prepared.plan.package.name)));
        self.build(prepared, lease.map(Arc::new), commit_limit, gifts).await?;
        Ok(Code::Success)
    }

    /// Moves the workspace of a step that failed, if there is one, to where it stays, and says where and how to use it.
    fn keep_what_was_left(self, args: &BuildArgs) -> Result<()> {
        if !self.run_dir.path().join(WORKSPACE_FILE).exists() {
            return Ok(());
        }
        let path = self.run_dir.keep()?.join(WORKSPACE_FILE);
        let path = again::quoted(&path.display().to_string());
        let text = format!(
            "the workspace of the failed step is kept: {path}\n\
             a shell with it: mkdir work && tar -C work -xf {path} && {}",
            again::shell(args, "work"),
        );
        self.sink.emit(Event::Note { text });
        Ok(())
    }

    fn announce(&mut self, plan: &Plan) {
        self.sink.emit(Event::Plan {
            package: plan.package.to_string(),
            arch: plan.arch.clone(),
            runner: plan.runner().name().into(),
            steps: plan.steps.len(),
            image: plan.image.to_string(),
            cache_dir: plan.cache.as_ref().map(|cache| cache.directory.clone()),
        });
    }

    async fn build(
        &mut self,
        prepared: Prepared,
        lease: Option<Arc<Lease>>,
        limit: CommitLimit,
        gifts: Gifts,
    ) -> Result<()> {
        self.phases.enter("image");
        let mut interrupts = self.interrupts.clone();
        let image = tokio::select! {
            image = prepared.store.ensure(&prepared.plan.image, self.spawner, self.sink) => image?,
            error = interrupts.refuse() => return Err(error),
        };
        self.phases.enter("cache");
        let plan = &prepared.plan;
        let held = match &plan.cache {
            Some(cache) => cache::held(&self.home, &cache.directory, cache.mode.writes())?,
            None => None,
        };
        let console_log = self.sink.logs().map(Logs::console);
        let launch = Launch {
            env: self.env,
            home: &self.home,
            spawner: self.spawner,
            run_dir: self.run_dir.path(),
            lease: lease.as_deref(),
            console_log: console_log.as_deref(),
        };
        self.phases.enter(match plan.runner() {
            RunnerKind::Qemu => "boot",
            RunnerKind::Docker => "import",
            // What an ordinary user's sandbox has for a root is unpacked.
            RunnerKind::Bubblewrap => "image",
        });
        let mut runner = launch.runner(&prepared, &image, self.sink).await?;
        self.phases.enter("boot");
        let committed = plan.cache.as_ref().is_some_and(|cache| cache.mode == CacheMode::Commit);
        let mut engine = Engine {
            plan,
            sink: self.sink,
            interrupts: self.interrupts.clone(),
            gifts,
            limits: Limits::default(),
            commit: lease.clone().filter(|_| committed).map(|lease| Commit { lease, limit }),
            writes: Writes::Lost,
            reused: Reused::default(),
            phases: self.phases,
            console: self.console.as_mut().map(|console| console as &mut dyn engine::Console),
            keep: self.keep.then(|| self.run_dir.path().join(WORKSPACE_FILE)),
            again: again::interactive(env::args_os()),
        };
        let result = engine.run(runner.as_mut()).await;
        engine.phases.enter("shutdown");
        let cleaned = runner.clean().await;
        engine.phases.enter("cache");
        let writes = std::mem::replace(&mut engine.writes, Writes::Lost);
        let reused = std::mem::take(&mut engine.reused);
        runner.remarks().into_iter().for_each(|text| self.sink.emit(Event::Note { text }));
        drop(runner);
        let scrubbed = lease::end_writes(lease.as_deref(), self.sink);
        let use_made = Use { held, writes, reused };
        self.report_cache(plan, use_made, result.is_ok())?;
        let ended = lease.map_or(Ok(()), |lease| lease::end(&lease, plan));
        result.and(cleaned).and(scrubbed).and(ended)
    }

    fn report_cache(&mut self, plan: &Plan, use_made: Use, succeeded: bool) -> Result<()> {
        let Use { held, writes, reused } = use_made;
        let writes = match &plan.cache {
            Some(cache) if cache.mode == CacheMode::Rw => cache::written(&self.home, cache, held.as_ref())?,
            Some(_) | None => writes,
        };
        let report = cache::report(plan.cache.as_ref(), held.as_ref(), &writes, &reused, succeeded);
        self.sink.emit(Event::Cache(report));
        Ok(())
    }
}
