//! The events of a build: shown, kept in log files, and ended by the result.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;

use crate::commands::progress::LiveReporter;
use crate::{
    event::{Event, Outcome, Phases, Sink},
    exit::{Code, code_of, faults_of, way_out_of},
    plan::Plan,
    report::Logs,
};

/// Passes events on to the reporter and the log files.
pub(in crate::commands) struct BuildEvents {
    live: LiveReporter,
    logs: Kept,
}

/// Where events are kept.
enum Kept {
    /// In memory, with their times, until there are files.
    Later(Vec<(Duration, Event)>),
    Files(Box<Logs>),
    /// The log files could not be made.
    Nowhere,
}

impl BuildEvents {
    /// Starts with nothing shown and no log files.
    pub(super) fn new(live: LiveReporter) -> Self {
        Self { live, logs: Kept::Later(Vec::new()) }
    }

    /// Writes the events to log files from now on, the earlier ones too. A build goes on where that fails.
    pub(super) fn open(&mut self, logs: Result<Logs>) {
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

    /// Says what will be built.
    pub(super) fn announce(&mut self, plan: &Plan) {
        self.emit(Event::Plan {
            package: plan.package.to_string(),
            arch: plan.arch.clone(),
            runner: plan.runner(),
            steps: plan.steps.len(),
            image: plan.image.to_string(),
            cache_dir: plan.cache.as_ref().map(|cache| cache.directory.clone()),
        });
    }

    /// The log files, if there are any.
    pub(super) fn logs(&self) -> Option<&Logs> {
        match &self.logs {
            Kept::Files(logs) => Some(logs),
            Kept::Later(_) | Kept::Nowhere => None,
        }
    }
}

impl Sink for BuildEvents {
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

/// The last event of a build.
pub(in crate::commands) fn finished(result: &Result<Code>, phases: Phases, logs: Option<PathBuf>) -> Event {
    let code = result.as_ref().map_or_else(code_of, |code| *code);
    let error = result.as_ref().err();
    let (duration, phases) = phases.finish();
    Event::Finished {
        outcome: outcome(code),
        exit_code: code as u8,
        duration,
        phases,
        logs,
        error: error.map(|error| format!("{error:#}")),
        way_out: error.and_then(way_out_of).map(str::to_owned),
        faults: error.map(faults_of).unwrap_or_default(),
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
