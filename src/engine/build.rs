//! A build in its guest: its steps, then the packages and the cache.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use kiln_protocol::{Exhausted, ExitStatus, LinkScope, ToGuest};
use tokio::{sync::mpsc, time::Instant};

use super::{
    ARCHIVE_PIECES, Engine, STEP_GRACE,
    agent_session::AgentSession,
    archive::Archive,
    event_status, failed_step,
    interactive::Console,
    output::{self, Output},
    step_cause::StepEnd,
    step_run::{StepRun, StepStop},
};
use crate::{
    backend::Runner,
    cache::{CommitLimit, Lease, Reused, Staged, WriteOutcome},
    event::{Event, StepName},
    package::{self, Artifact, Collected, Form, IndexFile, Job, Limits, Normalization},
    plan::{Plan, PlannedStep},
};

/// The destinations of what leaves the guest of a build.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Limits of its packages.
    pub limits: Limits,
    /// Their form.
    pub form: Form,
    /// The cache to commit to, in mode commit.
    pub commit: Option<Commit>,
}

/// The destination of the writes of a build that succeeds.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The cache.
    pub lease: Arc<Lease>,
    /// The most that is taken.
    pub limit: CommitLimit,
}

/// What to do after a step has failed.
#[derive(Default)]
pub struct OnFailure<'a> {
    /// The console of a shell in the place of the step.
    pub console: Option<&'a mut dyn Console>,
    /// The file to which the workspace is written, as a tar.
    pub keep: Option<PathBuf>,
    /// The command line that repeats the build and opens a shell at the failed step; `None` if this one does.
    pub rerun_command: Option<String>,
}

/// How a build ended.
#[derive(Debug)]
pub struct BuildOutcome {
    /// A [`Failure`](crate::exit::Failure) for a failed step, a time-out, a signal, a dead machine or a refused stream.
    pub result: Result<()>,
    /// What happened to the build's writes into the cache.
    pub writes: WriteOutcome,
    /// What the build has read of the cache.
    pub reused: Reused,
}

/// A running build.
pub(super) struct Build<'e, 'c> {
    pub(super) engine: Engine<'e>,
    pub(super) outputs: Outputs,
    pub(super) on_failure: OnFailure<'c>,
    pub(super) writes: WriteOutcome,
    pub(super) reused: Reused,
}

/// Whether all steps have succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Steps {
    Succeeded,
    Failed,
}

impl Engine<'_> {
    /// Runs the plan to its end.
    pub async fn build(
        self,
        runner: &mut dyn Runner,
        outputs: Outputs,
        on_failure: OnFailure<'_>,
    ) -> BuildOutcome {
        let (writes, reused) = (WriteOutcome::Lost, Reused::default());
        let mut build = Build { engine: self, outputs, on_failure, writes, reused };
        let result = build.run(runner).await;
        let Build { writes, reused, .. } = build;
        BuildOutcome { result, writes, reused }
    }
}

impl Build<'_, '_> {
    pub(super) async fn run(&mut self, runner: &mut dyn Runner) -> Result<()> {
        self.engine.phases.enter("boot");
        let plan = self.engine.plan;
        let launched = self.engine.launch(runner).await?;
        let mut session = self.engine.session(launched);
        let result = self.run_steps(&mut session).await;
        self.engine.phases.enter("shutdown");
        match &result {
            // A guest that wrote too much may still send.
            Ok(_) if plan.needs_shutdown() && !matches!(self.writes, WriteOutcome::TooMuch(_)) => {
                self.engine.shut_down(&mut session).await?;
            }
            Ok(_) | Err(_) => session.kill(),
        }
        self.engine.await_end(&mut session).await;
        // The build has succeeded only now.
        if let (Some(staged), Some(commit)) = (result?, self.outputs.commit.take()) {
            self.engine.phases.enter("commit");
            self.merge(staged, commit).await?;
        }
        Ok(())
    }

    async fn run_steps(&mut self, session: &mut AgentSession) -> Result<Option<Box<Staged>>> {
        let mut deadline = self.engine.plan.timeout.map(|limit| (Instant::now() + limit, limit));
        self.engine.prepare(session).await?;
        self.engine.give(session).await?;
        self.listen(session).await;
        self.engine.phases.enter("steps");
        for planned in &self.engine.plan.steps {
            let end = self.step(session, planned, deadline).await?;
            if !end.status.success() {
                let failed = Instant::now();
                self.after_failure(session, planned, &end).await?;
                // An interactive shell does not use up the build's time.
                deadline = deadline.map(|(at, limit)| (at + failed.elapsed(), limit));
            }
        }
        self.engine.phases.enter("artifacts");
        self.export(session).await?;
        self.request_reads(session).await?;
        self.engine.phases.enter("cache");
        self.count_discarded(session, Steps::Succeeded).await?;
        let Some(commit) = self.outputs.commit.clone() else { return Ok(None) };
        self.stage(session, commit).await
    }

    async fn step(
        &mut self,
        session: &mut AgentSession,
        planned: &PlannedStep,
        whole: Option<(Instant, Duration)>,
    ) -> Result<StepEnd> {
        let name = StepName { index: planned.step.index, name: planned.name.clone() };
        self.engine.sink.emit(Event::StepStarted { step: name.clone() });
        let own = planned.step.timeout_ms.map(Duration::from_millis);
        let patience = own.map(|limit| Instant::now() + limit + STEP_GRACE);
        let deadline = [patience, whole.map(|(at, _)| at)].into_iter().flatten().min();
        let memory = session.memory();
        let redactor = self.engine.injected.redactor(self.engine.plan);
        let mut output = Output::new(self.engine.plan, planned.step.index, redactor);
        let when = format!("during step {:?}", planned.name);
        let mut run =
            StepRun { session, sink: self.engine.sink, output: &mut output, console: None, when: &when };
        let (stop, duration) = run.run(planned.step.clone(), deadline).await?;
        output.finish(self.engine.sink);
        let (status, exhausted) = match stop {
            StepStop::Ended { status, exhausted } => (status, exhausted),
            StepStop::Refused { why } => return Err(failed_step::refused(planned, &session.quoted(&why))),
            StepStop::Interrupted(signal) => {
                self.finish_step(&name, ExitStatus::Cancelled, duration);
                return Err(signal.failure().into());
            }
            StepStop::Deadline => {
                self.finish_step(&name, ExitStatus::TimedOut, duration);
                let whole = whole.filter(|(at, _)| Instant::now() >= *at).map(|(_, limit)| limit);
                return Err(failed_step::timed_out(planned, whole));
            }
        };
        self.finish_step(&name, status, duration);
        let seen = session.memory().zip(memory).map(|(now, before)| now.since(before));
        let exhausted = Exhausted { memory: seen.or(exhausted.memory), ..exhausted };
        Ok(StepEnd { status, exhausted, last_lines: output.last_lines() })
    }

    fn finish_step(&mut self, step: &StepName, status: ExitStatus, duration: Duration) {
        self.engine.sink.emit(Event::StepFinished {
            step: step.clone(),
            status: event_status(status),
            duration,
        });
    }

    async fn export(&mut self, session: &mut AgentSession) -> Result<()> {
        if self.engine.plan.artifacts.is_empty() {
            return Ok(());
        }
        let mut form = std::mem::take(&mut self.outputs.form);
        let mut license_check = None;
        if form.has_license_texts() {
            let texts = self.license_texts(session).await?;
            license_check = Some(self.check_licenses(session, &texts).await?);
            form = form.with_license_texts(texts);
        }
        let links = if form.keeps_hard_links() { LinkScope::Child } else { LinkScope::None };
        session.send(&ToGuest::Export { root: crate::plan::OUTPUT.into(), links })?;
        let (sender, receiver) = mpsc::channel::<Vec<u8>>(ARCHIVE_PIECES);
        let packages: Vec<package::Package> = self
            .engine
            .plan
            .artifacts
            .iter()
            .map(|a| package::Package { name: a.package.clone(), file_stem: a.file_stem.clone() })
            .collect();
        let (out_dir, limits) = (self.engine.plan.out_dir.clone(), self.outputs.limits.clone());
        let Plan { build_date: mtime, build_ids: (build_uid, build_gid), .. } = *self.engine.plan;
        let normalization = Normalization { mtime, build_uid, build_gid };
        let job = Job { packages, normalization, out_dir, limits, form };
        let writer =
            tokio::task::spawn_blocking(move || package::collect(output::Pieces::new(receiver), &job));
        let streamed = self.stream(session, sender, "artifacts").await;
        let collected = writer.await.context("the writer of the artifacts panicked")?;
        // The writer that refused the stream knows why; the sender sees only a closed pipe.
        match (streamed, collected) {
            (Ok(()), Ok(collected)) => {
                if let Some(check) = license_check {
                    self.report_licenses(session, check).await;
                }
                self.report(collected);
                Ok(())
            }
            (Err(error), _) if !output::is_refusal(&error) => Err(error),
            (_, Err(error)) => Err(error),
            (Err(error), Ok(_)) => Err(error),
        }
    }

    fn report(&mut self, collected: Collected) {
        let Collected { artifacts, index, remarks } = collected;
        let written = artifacts.into_iter().map(|artifact| {
            let Artifact { package, path, bytes, entries } = artifact;
            Event::Artifact { package, path, bytes, entries }
        });
        let index = index.map(|IndexFile { path, bytes, packages }| Event::Index { path, bytes, packages });
        remarks.into_iter().chain(written).chain(index).for_each(|event| self.engine.sink.emit(event));
    }

    pub(super) async fn stream(
        &mut self,
        session: &mut AgentSession,
        sender: mpsc::Sender<Vec<u8>>,
        what: &'static str,
    ) -> Result<()> {
        let mut archive = Archive::new(what, self.engine.plan.timeout);
        while let Some(bytes) = archive.next(session).await? {
            output::hand_over(&sender, bytes).await?;
        }
        Ok(())
    }
}
