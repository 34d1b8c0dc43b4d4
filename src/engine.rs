//! Plan x Runner -> events and artifacts: the life of one build, and always an orderly end.
//!
//! ```text
//! launch -> prepare -> step, step, … -> export -> stage -> shut down -> commit
//!     \________\__________\_______________\________\____-> (failure, time-out, signal) -> kill
//! ```
//!
//! At every point the engine waits for four things at once ([`SessionEvent`]): a message, the end of a part of the machine, a
//! signal, a deadline.

mod agent_session;
mod archive;
mod build;
mod clock;
mod commit;
mod discarded;
mod failed_step;
mod failure;
mod guest_failure;
mod injected;
mod interactive;
mod license_texts;
mod on_failure;
mod output;
mod reads;
mod redact;
mod relay;
mod request;
mod shell_message;
mod step_cause;
mod step_run;
mod tail;
mod workspace_file;

use std::time::Duration;

use anyhow::Result;
use kiln_protocol::{ExitStatus, FromGuest, Step, ToGuest};
use tokio::time::{Instant, timeout};

pub use agent_session::{Interrupt, Interrupts};
pub use build::{BuildOutcome, Commit, OnFailure, Outputs};
pub use injected::Injected;
pub use interactive::{Console, ConsoleInput, ReaderGone};
pub use redact::SHORTEST as SHORTEST_REDACTED;

use crate::{
    backend::{Launched, Runner},
    event::{Event, Phase, Phases, Sink, Status, WarningKind},
    plan::Plan,
};
use agent_session::{AgentSession, SessionEvent};
use output::Output;
use request::{Reply, Wait};
use step_run::StepRun;

/// How long a guest may take to shut down before it is killed. Its disks are thrown away: only shares are flushed.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// How long a killed process may take to end: one that waits for a disk ends only when the disk answers.
const DEATH_LIMIT: Duration = Duration::from_secs(10);
/// Added to a step's own limit, which the agent should have enforced by then.
const STEP_GRACE: Duration = Duration::from_secs(10);
/// The most phases of its start that are taken from an agent.
const MOST_PHASES: usize = 64;
/// Pieces of an archive that may wait between the agent and the reader.
const ARCHIVE_PIECES: usize = 64;

/// The host's end of one guest.
pub struct Engine<'a> {
    /// The plan to run.
    pub plan: &'a Plan,
    /// Gets the events.
    pub sink: &'a mut dyn Sink,
    /// Signals that end the build.
    pub interrupts: Interrupts,
    /// Certificates and secrets for the agent.
    pub injected: Injected,
    /// The phases of the command.
    pub phases: &'a mut Phases,
}

impl Engine<'_> {
    /// Runs one command in the plan's guest, connected to `console`; only its output leaves the guest.
    ///
    /// # Errors
    /// As [`BuildOutcome::result`]; the status of the command is not an error.
    pub async fn run_command(
        mut self,
        runner: &mut dyn Runner,
        step: Step,
        console: &mut dyn Console,
    ) -> Result<ExitStatus> {
        let launched = self.launch(runner).await?;
        let mut session = self.session(launched);
        let result = self.command(&mut session, step, console).await;
        match &result {
            Ok(_) => self.shut_down(&mut session).await?,
            Err(_) => session.kill(),
        }
        self.await_end(&mut session).await;
        result
    }

    /// Starts the guest: that may take as long as its restore from a template.
    async fn launch(&mut self, runner: &mut dyn Runner) -> Result<Launched> {
        let mut interrupts = self.interrupts.clone();
        tokio::select! {
            // A guest that has started is ended in order.
            biased;
            launched = runner.launch(self.plan) => launched,
            error = interrupts.refuse() => Err(error),
        }
    }

    /// The build's writes into the host's cache are checked next: no process of the build may write there any more.
    async fn await_end(&mut self, session: &mut AgentSession) {
        if self.plan.writes_through() && timeout(DEATH_LIMIT, session.gone()).await.is_err() {
            let text = "a process of the build does not end: it may still write into the cache".into();
            self.sink.emit(Event::Warning { kind: WarningKind::ProcessStays, text });
        }
    }

    fn session(&self, launched: Launched) -> AgentSession {
        let ports = self.plan.host_settings.relayed(self.plan.runner());
        let own_clock = self.plan.runner().traits().own_kernel;
        let redactor = self.injected.redactor(self.plan);
        AgentSession::new(launched, self.interrupts.clone(), ports, own_clock, redactor)
    }

    async fn command(
        &mut self,
        session: &mut AgentSession,
        step: Step,
        console: &mut dyn Console,
    ) -> Result<ExitStatus> {
        self.prepare(session).await?;
        self.give(session).await?;
        let limit = step.timeout_ms.map(Duration::from_millis);
        let deadline = limit.map(|limit| Instant::now() + limit + STEP_GRACE);
        let mut output = Output::new(self.plan, step.index, self.injected.redactor(self.plan));
        let when = "while a command ran";
        let mut run = StepRun { session, sink: self.sink, output: &mut output, console: Some(console), when };
        let ended = run.run(step, deadline).await;
        output.finish(self.sink);
        let (stop, _) = ended?;
        step_run::status_of_command(stop, limit, session)
    }

    async fn give(&mut self, session: &mut AgentSession) -> Result<()> {
        self.injected.give(self.plan, session).await
    }

    async fn prepare(&mut self, session: &mut AgentSession) -> Result<()> {
        let wait = Wait { when: "before it was ready", deadline: Instant::now() + self.plan.boot_timeout };
        // A container's kernel is the host's, and has run for longer than this boot.
        let has_kernel = self.plan.runner().traits().own_kernel;
        let (mut phases, mut greeted) = (Vec::new(), false);
        // Sent before Hello has come, which saves a round trip: the agent reads it when it is ready.
        session.send(&ToGuest::Prepare(clock::launch_config(self.plan)?.into()))?;
        let made = session.expect(wait, |message| match message {
            FromGuest::Hello { uptime_us, .. } if !greeted => {
                greeted = true;
                tracing::debug!(uptime_us, "hello");
                phases.extend(has_kernel.then(|| phase("kernel".into(), uptime_us)));
                Reply::Other
            }
            FromGuest::Ready { phases } => Reply::Answer(phases),
            other => Reply::Unexpected(other),
        });
        let Some(made) = made.await? else { return Err(guest_failure::boot_timeout(self.plan, session)) };
        phases.extend(made.into_iter().take(MOST_PHASES).map(|(name, us)| phase(session.quoted(&name), us)));
        self.sink.emit(Event::Boot { phases });
        Ok(())
    }

    async fn shut_down(&mut self, session: &mut AgentSession) -> Result<()> {
        let deadline = Some(Instant::now() + SHUTDOWN_GRACE);
        session.send(&ToGuest::Shutdown)?;
        loop {
            match session.next(deadline).await? {
                SessionEvent::Message(_) => {}
                SessionEvent::Ended(ended) if ended.orderly => return Ok(()),
                SessionEvent::Ended(ended) => return Err(guest_failure::died(&ended, "at its end", session)),
                SessionEvent::Interrupted(signal) => return Err(signal.failure().into()),
                SessionEvent::Deadline => break,
            }
        }
        session.kill();
        Ok(())
    }
}

fn phase(name: String, us: u64) -> Phase {
    Phase { name, duration: Duration::from_micros(us) }
}

/// The status in an event.
fn event_status(status: ExitStatus) -> Status {
    match status {
        ExitStatus::Code(code) => Status::Code(code),
        ExitStatus::Signal(signal) => Status::Signal(signal),
        ExitStatus::TimedOut => Status::TimedOut,
        ExitStatus::Cancelled => Status::Cancelled,
    }
}
