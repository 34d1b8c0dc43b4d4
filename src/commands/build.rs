//! `kiln build`: the whole line, from a build file to packages.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    launch::Launch,
    prepare::{self, Prepared, Question},
    recipe, signals, unsupported, wishes,
};
use crate::{
    cache,
    cli::BuildArgs,
    engine::{Engine, Interrupts},
    env::Env,
    event::{Event, Outcome, Phase, Sink},
    exit::{Code, code_of, way_out_of},
    home::Home,
    package::Limits,
    plan::Plan,
    process::Spawner,
    report::{Logs, Outlets, Reporter},
    rundir::{self, RunDir},
};

/// How often the live display is drawn.
const TICK: Duration = Duration::from_millis(100);

/// Builds; returns the code to exit with, after all was reported.
pub(super) async fn run(args: &BuildArgs, env: &Env) -> Result<Code> {
    let started = Instant::now();
    let reporter =
        Rc::new(RefCell::new(Reporter::new(super::progress(args.progress), Outlets::of_process())));
    let mut sink = Shown { reporter: Rc::clone(&reporter), logs: None, held: Vec::new() };
    for text in unsupported::notes(&args.unsupported) {
        sink.emit(Event::Note { text });
    }
    let spawner = Spawner::start()?;
    let mut phases = Vec::new();
    let result = {
        let work = signals::guard(async |interrupts| {
            let home = Home::find(env)?;
            rundir::sweep(&home)?;
            let run_dir = RunDir::create(&home, &spawner)?;
            let (env, spawner) = (env, &spawner);
            Build { env, home, spawner, run_dir, interrupts, sink: &mut sink, phases: &mut phases }
                .run(args)
                .await
        });
        tokio::select! {
            result = work => result,
            never = ticking(&reporter) => never,
        }
    };
    let code = result.as_ref().map_or_else(code_of, |code| *code);
    sink.emit(Event::Finished {
        outcome: outcome(code),
        exit_code: code as u8,
        duration: started.elapsed(),
        phases,
        logs: sink.logs.as_ref().map(|logs| logs.directory().to_owned()),
        error: result.as_ref().err().map(|error| format!("{error:#}")),
        way_out: result.as_ref().err().and_then(way_out_of).map(str::to_owned),
    });
    spawner.finish()?;
    Ok(code)
}

/// Draws the display as time passes.
async fn ticking<T>(reporter: &RefCell<Reporter>) -> T {
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        reporter.borrow_mut().tick();
    }
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

/// Events on their way to the reporter and, once there are any, the log files; what came before goes into them as well.
struct Shown {
    reporter: Rc<RefCell<Reporter>>,
    logs: Option<Logs>,
    held: Vec<Event>,
}

impl Shown {
    fn open(&mut self, mut logs: Logs) {
        for event in self.held.drain(..) {
            logs.emit(event);
        }
        self.logs = Some(logs);
    }
}

impl Sink for Shown {
    fn emit(&mut self, event: Event) {
        match &mut self.logs {
            Some(logs) => logs.emit(event.clone()),
            None => self.held.push(event.clone()),
        }
        self.reporter.borrow_mut().emit(event);
    }
}

struct Build<'a> {
    env: &'a Env,
    home: Home,
    spawner: &'a Spawner,
    run_dir: RunDir,
    interrupts: Interrupts,
    sink: &'a mut Shown,
    phases: &'a mut Vec<Phase>,
}

impl Build<'_> {
    async fn run(&mut self, args: &BuildArgs) -> Result<Code> {
        let clock = Instant::now();
        let file = recipe::file(args.file.as_deref())?;
        let Some(recipe) = recipe::load(&file, &args.recipe, self.sink)? else { return Ok(Code::Success) };
        let wishes = wishes::wishes(&args.machine, self.env, &file)?;
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
        self.sink.open(Logs::open(&self.home.dir("logs")?, &prepared.plan.package.name)?);
        self.phases.push(Phase { name: "plan".into(), duration: clock.elapsed() });
        self.build(prepared).await?;
        Ok(Code::Success)
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

    async fn build(&mut self, prepared: Prepared) -> Result<()> {
        let clock = Instant::now();
        let mut interrupts = self.interrupts.clone();
        let image = tokio::select! {
            image = prepared.store.ensure(&prepared.plan.image, self.spawner, self.sink) => image?,
            error = interrupts.refuse() => return Err(error),
        };
        self.phases.push(Phase { name: "image".into(), duration: clock.elapsed() });
        let plan = &prepared.plan;
        // Counting does not hold up the start.
        let directory = plan.cache.as_ref().map(|cache| cache.directory.clone());
        let before = tokio::task::spawn_blocking({
            let directory = directory.clone();
            move || directory.and_then(|directory| cache::measure(&directory))
        });
        let console_log = self.sink.logs.as_ref().map(Logs::console);
        let launch = Launch {
            env: self.env,
            home: &self.home,
            spawner: self.spawner,
            run_dir: self.run_dir.path(),
            console_log: console_log.as_deref(),
        };
        let mut runner = launch.runner(&prepared, &image, self.sink).await?;
        let gifts = super::supplies::load(&plan.supplies, self.env, self.sink)?;
        let mut engine = Engine {
            plan,
            sink: self.sink,
            interrupts: self.interrupts.clone(),
            gifts,
            limits: Limits::default(),
            phases: Vec::new(),
        };
        let result = engine.run(runner.as_mut()).await;
        let cleaned = runner.clean().await;
        self.phases.append(&mut engine.phases);
        let after = directory.and_then(|directory| cache::measure(&directory));
        let report =
            cache::report(plan.cache.as_ref(), before.await.unwrap_or_default(), after, result.is_ok());
        self.sink.emit(Event::Cache(report));
        result.and(cleaned)
    }
}
