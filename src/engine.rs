//! Plan x Runner -> events and artifacts: the life of one build, and always an orderly end.
//!
//! ```text
//! launch -> prepare -> step, step, … -> export -> stage -> shut down -> commit
//!     \________\__________\_______________\________\____-> (failure, time-out, signal) -> kill
//! ```
//!
//! At every point the engine waits for the same four things at once ([`Wake`]): a message, the end of a part of the
//! machine, a signal, a deadline.

mod archive;
mod attend;
mod commit;
mod conversation;
mod failure;
mod gifts;
mod mask;
mod mend;
mod output;
mod reads;
mod relay;

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use kiln_protocol::{ExitStatus, FromGuest, LinkScope, Step, ToGuest, World};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

pub use attend::{Console, ReaderGone, Typed};
pub use commit::Commit;
pub use conversation::{Interrupt, Interrupts};
pub use gifts::Gifts;
pub use mask::SHORTEST as SHORTEST_MASKED;

use crate::{
    cache::{Reused, Staged, Writes},
    event::{Event, Phase, Phases, Sink, Status, StepName},
    package::{self, Artifact, Limits, Normalization},
    plan::{Plan, PlannedStep, Platform},
    runner::{Launched, Runner},
};
use archive::Archive;
use attend::Attendance;
use conversation::{Conversation, Wake};
use output::Output;

/// How long a guest may take to end after it was told to; then it is killed. Its disks are thrown away: only shares are flushed.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// How long what was killed may take to end: a process that waits for a disk cannot be killed before that answers.
const DEATH_LIMIT: Duration = Duration::from_secs(10);
/// Said at the first signal, since the end in order can take [`CANCEL_GRACE`].
const INTERRUPTED: &str = "interrupted: the step is being ended; a second signal ends the build at once";
/// How long the agent may take to end a step that it was told to cancel.
const CANCEL_GRACE: Duration = Duration::from_secs(5);
/// Added to a step's own limit before the host loses patience with an agent that should have enforced it.
const STEP_GRACE: Duration = Duration::from_secs(10);
/// Random bytes given to the guest: the size of the kernel's seed, twice.
const ENTROPY_BYTES: usize = 64;
/// Pieces of the archive that may lie between the agent and its reader.
const ARCHIVE_PIECES: usize = 64;

/// What a build needs besides the plan.
pub struct Engine<'a> {
    /// What to do.
    pub plan: &'a Plan,
    /// Where to say what happened.
    pub sink: &'a mut dyn Sink,
    /// Signals that ask for the end.
    pub interrupts: Interrupts,
    /// What the agent is given besides.
    pub gifts: Gifts,
    /// Limits on what leaves the guest.
    pub limits: Limits,
    /// The cache to commit to, in mode commit.
    pub commit: Option<Commit>,
    /// What became of the build's writes into the cache, filled at the end.
    pub writes: Writes,
    /// What the build has read of what the cache held, filled at the end.
    pub reused: Reused,
    /// Where the time goes.
    pub phases: &'a mut Phases,
    /// Who gets a shell in the place of a step that failed.
    pub console: Option<&'a mut dyn Console>,
    /// Where the workspace of a step that failed is kept, as a tar.
    pub keep: Option<PathBuf>,
    /// The command that does the same and opens a shell at a step that fails.
    pub again: String,
}

impl Engine<'_> {
    /// Runs the plan to its end.
    ///
    /// # Errors
    /// A [`Failure`](crate::exit::Failure) for a step that failed, a time-out, a signal, a machine that died, a stream that was refused.
    pub async fn run(&mut self, runner: &mut dyn Runner) -> Result<()> {
        self.phases.enter("boot");
        let launched = runner.launch(self.plan).await?;
        let mut talk = self.conversation(launched);
        let result = self.work(&mut talk).await;
        self.phases.enter("shutdown");
        match &result {
            // A guest that wrote too much may still be sending.
            Ok(_) if self.plan.ends_in_order() && !matches!(self.writes, Writes::TooMuch(_)) => {
                self.shut_down(&mut talk).await?;
            }
            Ok(_) | Err(_) => talk.kill(),
        }
        self.await_end(&mut talk).await;
        // Only now has the build succeeded.
        if let (Some(staged), Some(commit)) = (result?, self.commit.take()) {
            self.phases.enter("commit");
            self.merge(staged, commit).await?;
        }
        Ok(())
    }

    /// Runs one command in the plan's guest, with `console` at its other end; nothing leaves the guest but what it writes.
    ///
    /// # Errors
    /// As [`Self::run`]; how the command ends is no error.
    pub async fn attend(
        &mut self,
        runner: &mut dyn Runner,
        step: Step,
        console: &mut dyn Console,
    ) -> Result<ExitStatus> {
        let launched = runner.launch(self.plan).await?;
        let mut talk = self.conversation(launched);
        let result = self.command(&mut talk, step, console).await;
        match &result {
            Ok(_) => self.shut_down(&mut talk).await?,
            Err(_) => talk.kill(),
        }
        self.await_end(&mut talk).await;
        result
    }

    /// What the build wrote into the host's cache is looked through next: nothing may write there any more.
    async fn await_end(&self, talk: &mut Conversation) {
        if self.plan.writes_through() && timeout(DEATH_LIMIT, talk.gone()).await.is_err() {
            tracing::warn!("a process of the build does not end: it may still write into the cache");
        }
    }

    fn conversation(&self, launched: Launched) -> Conversation {
        let ports = self.plan.supplies.relayed(self.plan.runner());
        Conversation::new(launched, self.interrupts.clone(), ports, self.gifts.mask(self.plan))
    }

    async fn command(
        &mut self,
        talk: &mut Conversation,
        step: Step,
        console: &mut dyn Console,
    ) -> Result<ExitStatus> {
        self.prepare(talk).await?;
        self.gifts.give(self.plan, talk).await?;
        let limit = step.timeout_ms.map(Duration::from_millis);
        let deadline = limit.map(|limit| (Instant::now() + limit + STEP_GRACE, limit));
        let mut output = Output::new(self.plan, step.index, self.gifts.mask(self.plan));
        let mut attendance = Attendance { talk, console, sink: self.sink, output: &mut output };
        let ended = attendance.run(step, deadline).await;
        output.finish(self.sink);
        ended.map(|(status, _)| status)
    }

    async fn work(&mut self, talk: &mut Conversation) -> Result<Option<Box<Staged>>> {
        let mut deadline = self.plan.timeout.map(|limit| (Instant::now() + limit, limit));
        self.prepare(talk).await?;
        self.gifts.give(self.plan, talk).await?;
        self.listen(talk).await;
        self.phases.enter("steps");
        for planned in &self.plan.steps {
            let status = self.step(talk, planned, deadline).await?;
            if !status.success() {
                let failed = Instant::now();
                self.after_failure(talk, planned, status).await?;
                // A person at a shell does not use up the build's time.
                deadline = deadline.map(|(at, limit)| (at + failed.elapsed(), limit));
            }
        }
        self.phases.enter("artifacts");
        self.export(talk).await?;
        self.ask_for_reads(talk).await?;
        self.phases.enter("cache");
        let Some(commit) = self.commit.clone() else { return Ok(None) };
        self.stage(talk, commit).await
    }

    async fn prepare(&mut self, talk: &mut Conversation) -> Result<()> {
        let deadline = Some(Instant::now() + self.plan.boot_timeout);
        let (mut phases, mut greeted) = (Vec::new(), false);
        // The agent reads it once it is there: no round trip is spent on waiting for Hello.
        talk.say(&ToGuest::Prepare(launch_world(self.plan)?))?;
        loop {
            match talk.wake(deadline).await? {
                Wake::Message(FromGuest::Hello { uptime_us, .. }) if !greeted => {
                    greeted = true;
                    tracing::debug!(uptime_us, "the agent says hello");
                    // A container's kernel is the host's, and has run for longer than that.
                    if matches!(self.plan.platform, Platform::Qemu(_)) {
                        phases.push(Phase {
                            name: "kernel".into(),
                            duration: Duration::from_micros(uptime_us),
                        });
                    }
                }
                Wake::Message(FromGuest::Ready { phases: made }) => {
                    phases.extend(made.into_iter().take(64).map(|(name, us)| Phase {
                        name: talk.quoted(&name),
                        duration: Duration::from_micros(us),
                    }));
                    self.sink.emit(Event::Boot { phases });
                    return Ok(());
                }
                Wake::Message(other) => {
                    return Err(failure::unexpected(&other, "while it made its world", talk));
                }
                Wake::Ended(ended) => return Err(failure::died(&ended, "before it was ready", talk)),
                Wake::Interrupted(signal) => return Err(signal.failure().into()),
                Wake::Deadline => return Err(failure::boot_timeout(self.plan, talk)),
            }
        }
    }

    async fn step(
        &mut self,
        talk: &mut Conversation,
        planned: &PlannedStep,
        whole: Option<(Instant, Duration)>,
    ) -> Result<ExitStatus> {
        let name = StepName { index: planned.step.index, name: planned.name.clone() };
        self.sink.emit(Event::StepStarted { step: name.clone() });
        // The guest's own clock stands still while an emulated processor waits for the host's.
        let started = Instant::now();
        let own = planned.step.timeout_ms.map(Duration::from_millis);
        let patience = own.map(|limit| Instant::now() + limit + STEP_GRACE);
        let deadline = [patience, whole.map(|(at, _)| at)].into_iter().flatten().min();
        talk.say(&ToGuest::Run(planned.step.clone()))?;
        let mut output = Output::new(self.plan, planned.step.index, self.gifts.mask(self.plan));
        let status = loop {
            let wake = tokio::select! {
                wake = talk.wake(deadline) => wake?,
                () = output.moment() => {
                    output.pause(self.sink, None)?;
                    continue;
                }
            };
            match wake {
                Wake::Message(FromGuest::Output { step, stream, bytes }) => {
                    output.push(self.sink, step, stream, &bytes)?
                }
                Wake::Message(FromGuest::Ended { step, status }) if step == planned.step.index => {
                    break status;
                }
                Wake::Message(FromGuest::Refused { why, .. }) => {
                    return Err(failure::refused(&planned.name, &why, talk));
                }
                Wake::Message(other) => return Err(failure::unexpected(&other, "while a step ran", talk)),
                Wake::Ended(ended) => {
                    return Err(failure::died(&ended, &format!("during step {:?}", planned.name), talk));
                }
                Wake::Interrupted(signal) => {
                    self.sink.emit(Event::Note { text: INTERRUPTED.into() });
                    self.cancel(talk, &mut output).await;
                    self.finish_step(&name, ExitStatus::Cancelled, started.elapsed());
                    return Err(signal.failure().into());
                }
                Wake::Deadline => {
                    self.cancel(talk, &mut output).await;
                    self.finish_step(&name, ExitStatus::TimedOut, started.elapsed());
                    let whole = whole.filter(|(at, _)| Instant::now() >= *at).map(|(_, limit)| limit);
                    let limit = whole.or(own).unwrap_or_default();
                    return Err(failure::timed_out(&planned.name, limit, whole.is_some()));
                }
            }
        };
        output.finish(self.sink);
        self.finish_step(&name, status, started.elapsed());
        Ok(status)
    }

    fn finish_step(&mut self, step: &StepName, status: ExitStatus, duration: Duration) {
        self.sink.emit(Event::StepFinished { step: step.clone(), status: named(status), duration });
    }

    /// Tells the agent to end the step, and shows what it still wrote. An agent that does something else does not change why the
    /// build ends: the machine is killed next.
    async fn cancel(&mut self, talk: &mut Conversation, output: &mut Output) {
        let deadline = Some(Instant::now() + CANCEL_GRACE);
        if talk.say(&ToGuest::Cancel).is_ok() {
            while let Ok(Wake::Message(FromGuest::Output { step, stream, bytes })) = talk.wake(deadline).await
            {
                if output.push(self.sink, step, stream, &bytes).is_err() {
                    break;
                }
            }
        }
        output.finish(self.sink);
    }

    async fn export(&mut self, talk: &mut Conversation) -> Result<()> {
        talk.say(&ToGuest::Export { root: crate::plan::OUTPUT.into(), links: LinkScope::Child })?;
        let (sender, receiver) = mpsc::channel::<Vec<u8>>(ARCHIVE_PIECES);
        let packages: Vec<package::Package> = self
            .plan
            .artifacts
            .iter()
            .map(|a| package::Package { name: a.package.clone(), file_stem: a.file_stem.clone() })
            .collect();
        let (out_dir, limits) = (self.plan.out_dir.clone(), self.limits.clone());
        let Plan { build_date: mtime, build_ids: (build_uid, build_gid), .. } = *self.plan;
        let normalization = Normalization { mtime, build_uid, build_gid };
        let writer = tokio::task::spawn_blocking(move || {
            package::collect(output::Pieces::new(receiver), &packages, normalization, &out_dir, &limits)
        });
        let streamed = self.stream(talk, sender, "artifacts").await;
        let collected = writer.await.context("the writer of the artifacts panicked")?;
        // A writer that refused the stream knows better than the sender, who only sees a closed pipe.
        match (streamed, collected) {
            (Ok(()), Ok(artifacts)) => {
                for artifact in artifacts {
                    let Artifact { package, path, bytes, entries } = artifact;
                    self.sink.emit(Event::Artifact { package, path, bytes, entries });
                }
                Ok(())
            }
            (Err(error), _) if !output::is_refusal(&error) => Err(error),
            (_, Err(error)) => Err(error),
            (Err(error), Ok(_)) => Err(error),
        }
    }

    async fn stream(
        &mut self,
        talk: &mut Conversation,
        sender: mpsc::Sender<Vec<u8>>,
        what: &'static str,
    ) -> Result<()> {
        let mut archive = Archive::new(what, self.plan.timeout);
        while let Some(bytes) = archive.next(talk).await? {
            output::hand_over(&sender, bytes).await?;
        }
        Ok(())
    }

    async fn shut_down(&mut self, talk: &mut Conversation) -> Result<()> {
        let deadline = Some(Instant::now() + SHUTDOWN_GRACE);
        talk.say(&ToGuest::Shutdown)?;
        loop {
            match talk.wake(deadline).await? {
                Wake::Message(_) => {}
                Wake::Ended(ended) if ended.orderly => return Ok(()),
                Wake::Ended(ended) => return Err(failure::died(&ended, "at its end", talk)),
                Wake::Interrupted(signal) => return Err(signal.failure().into()),
                Wake::Deadline => break,
            }
        }
        talk.kill();
        Ok(())
    }
}

/// As events say it.
fn named(status: ExitStatus) -> Status {
    match status {
        ExitStatus::Code(code) => Status::Code(code),
        ExitStatus::Signal(signal) => Status::Signal(signal),
        ExitStatus::TimedOut => Status::TimedOut,
        ExitStatus::Cancelled => Status::Cancelled,
    }
}

/// The world with what only the moment of launch knows: the time, and randomness.
/// Only a machine of its own has a clock and a random pool to be set.
fn launch_world(plan: &Plan) -> Result<World> {
    match plan.platform {
        Platform::Qemu(_) => {}
        Platform::Docker(_) | Platform::Bubblewrap(_) => return Ok(plan.world.clone()),
    }
    let mut entropy = vec![0; ENTROPY_BYTES];
    std::io::Read::read_exact(
        &mut std::fs::File::open("/dev/urandom").context("open /dev/urandom")?,
        &mut entropy,
    )
    .context("read /dev/urandom")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the host's clock is before 1970")?;
    let clock_ns = u64::try_from(now.as_nanos()).ok();
    Ok(World { clock_ns, entropy, ..plan.world.clone() })
}
