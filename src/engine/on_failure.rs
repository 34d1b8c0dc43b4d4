//! After a step has failed: a shell in its place, and its workspace.

use std::{fs::File, io::Write, path::Path};

use anyhow::{Context, Error, Result};
use kiln_protocol::{LinkScope, ToGuest};

use super::{
    Engine,
    agent_session::AgentSession,
    archive::Archive,
    build::{Build, Steps},
    failed_step::{self, WayOn},
    output::Output,
    step_cause::{StepEnd, Surroundings},
    step_run::{self, StepRun},
};
use crate::{
    event::{Event, StepName},
    plan::{PlannedStep, WORKSPACE, shell_in_place_of},
};

impl Build<'_, '_> {
    /// Handles the failure of a step; `Ok` if the user has repaired it in a shell.
    pub(super) async fn after_failure(
        &mut self,
        session: &mut AgentSession,
        planned: &PlannedStep,
        end: &StepEnd,
    ) -> Result<()> {
        let causes = Surroundings::of(self.engine.plan, session.scratch()).causes(end);
        let error = failed_step::failed(planned, end.status, &causes, self.way_on());
        if self.open_shell(session, planned).await? {
            return Ok(());
        }
        // The user must see the failure of the step; the report has a reason for the missing count already.
        if self.request_reads(session).await.is_err() {
            return Err(error);
        }
        if let Some(path) = &self.on_failure.keep
            && let Err(why) = keep(session, path, self.outputs.limits.bytes).await
        {
            // The user must see the failure of the step.
            self.engine.sink.emit(Event::Note { text: format!("the workspace could not be kept: {why:#}") });
        }
        // As above: the error is that of the step.
        if let Err(why) = self.count_discarded(session, Steps::Failed).await {
            tracing::debug!(error = %format!("{why:#}"), "what is thrown away was not counted");
        }
        Err(error)
    }

    /// How the user can find out why the step failed.
    fn way_on(&self) -> WayOn<'_> {
        match (&self.on_failure.rerun_command, &self.on_failure.keep) {
            (Some(command), _) => WayOn::Shell(command),
            (None, None) => WayOn::Workspace,
            (None, Some(_)) => WayOn::Known,
        }
    }

    /// Opens a shell, if there is a console; says whether it ended with 0.
    async fn open_shell(&mut self, session: &mut AgentSession, planned: &PlannedStep) -> Result<bool> {
        let redactor = self.engine.injected.redactor(self.engine.plan);
        let Some(console) = &mut self.on_failure.console else { return Ok(false) };
        let Engine { plan, sink, phases, .. } = &mut self.engine;
        let name = StepName { index: planned.step.index, name: planned.name.clone() };
        sink.emit(Event::ShellOpened { step: name.clone() });
        let step = shell_in_place_of(planned, console.stdin());
        let mut output = Output::new(plan, name.index, redactor);
        let when = "while a shell ran";
        let mut run =
            StepRun { session, sink: *sink, output: &mut output, console: Some(&mut **console), when };
        phases.enter("shell");
        let ended = run.run(step, None).await;
        phases.enter("steps");
        output.finish(*sink);
        let (stop, duration) = ended?;
        let status = step_run::status_of_command(stop, None, session)?;
        sink.emit(Event::ShellClosed { step: name, status: super::event_status(status), duration });
        Ok(status.success())
    }
}

/// Writes the workspace to `path`, as the tar that the agent sends.
async fn keep(session: &mut AgentSession, path: &Path, limit: u64) -> Result<(), Error> {
    let mut file = File::create_new(path).with_context(|| format!("make {}", path.display()))?;
    let mut left = limit;
    session.send(&ToGuest::Export { root: WORKSPACE.into(), links: LinkScope::Stream })?;
    let mut archive = Archive::new("the workspace", None);
    while let Some(bytes) = archive.next(session).await? {
        left = left.checked_sub(bytes.len() as u64).context("it is too large")?;
        file.write_all(&bytes).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
