//! The state of a build by its events, and the messages that each event makes: the part that is the same for all displays.

use std::time::Duration;

use super::{
    fetches::Fetches,
    format,
    lines::Lines,
    summary::{History, Summary},
};
use crate::{
    event::{Event, Fetch, ImageState, Phase, Status, StepName},
    plan::{Accelerator, RunnerKind},
};

/// Lines of a failed step's output that are shown again.
const LAST_LINES: usize = 20;

/// A message. Texts may come from a guest, and are not sanitized.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// A line of kiln's own.
    Line(String),
    /// What a download has come to: a terminal shows it as the activity.
    Fetch(String),
    /// A step has started.
    Started(String),
    /// The label of a step, and a line of its output.
    Output(String, String),
    /// A step has ended.
    Ended(String, Status, Duration),
    /// The end.
    Summary(Box<Summary>),
}

/// The state of a build.
#[derive(Debug, Default)]
pub(super) struct BuildState {
    runner: Option<RunnerKind>,
    accelerator: Option<Accelerator>,
    steps: usize,
    /// The current activity, and when it began.
    pub activity: Option<(String, Duration)>,
    /// Whether an event has named an activity.
    begun: bool,
    lines: Lines,
    fetches: Fetches,
    history: History,
}

impl BuildState {
    /// The command works, though no event has named an activity.
    pub(super) fn has_begun(&mut self) {
        if !self.begun {
            self.begun = true;
            self.activity = Some(("looking at this host".into(), Duration::ZERO));
        }
    }

    /// From now on another program uses the terminal.
    pub(super) fn has_ended(&mut self) {
        self.begun = true;
        self.activity = None;
    }

    /// Takes an event that happens `now`.
    pub(super) fn take(&mut self, event: &Event, now: Duration) -> Vec<Message> {
        self.begun |= matches!(event, Event::Plan { .. } | Event::Image { .. } | Event::Finished { .. });
        match event {
            Event::Plan { package, arch, runner, steps, image, cache_dir } => {
                (self.history.package, self.runner, self.steps) = (package.clone(), Some(*runner), *steps);
                self.activity = Some(("preparing".into(), now));
                let cache =
                    cache_dir.as_ref().map(|dir| format!(", cache {}", dir.display())).unwrap_or_default();
                let steps = if *steps == 1 { "1 step".into() } else { format!("{steps} steps") };
                line(format!("{package} for {arch}: {steps} in {}, root {image}{cache}", runner.name()))
            }
            Event::Accelerator { accelerator, why } => {
                self.accelerator = Some(*accelerator);
                let why = why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
                line(format!("accelerator: {accelerator}{why}"))
            }
            Event::Image { image, state } => self.image(image, *state, now),
            Event::FetchPlan { files, bytes } => self.fetch_plan(*files, *bytes),
            Event::Fetch(fetch) => self.fetch(fetch, now),
            Event::Note { text } => lines(text),
            Event::Warning { kind: _, text } => lines(&format!("warning: {text}")),
            Event::Boot { phases } => self.boot(phases, now),
            Event::StepStarted { step } => {
                self.history.last_lines.clear();
                self.activity = Some((self.label(step), now));
                vec![Message::Started(self.label(step))]
            }
            Event::Output { step, stream, data } => {
                let lines = self.lines.push(step, *stream, data);
                self.output(step, lines)
            }
            Event::StepFinished { step, status, duration } => {
                self.step_finished(step, *status, *duration, now)
            }
            Event::ShellOpened { step } => {
                // Nothing is drawn while the shell has the terminal.
                self.activity = None;
                line(format!(
                    "a shell in the place of step {}: after `exit 0` the build goes on, after `exit 1` it ends",
                    self.label(step)
                ))
            }
            Event::ShellClosed { step, status, duration: _ } => self.shell_closed(step, *status, now),
            Event::Cache(report) => {
                self.history.cache = Some(report.clone());
                Vec::new()
            }
            Event::Artifact { package: _, path, bytes, entries } => {
                let (size, entries) = (format::size(*bytes), format::entries(*entries));
                self.history.artifacts.push(format!("{} ({size}, {entries})", path.display()));
                Vec::new()
            }
            Event::Index { path, bytes, packages } => {
                let (size, packages) = (format::size(*bytes), format::packages(*packages));
                self.history.artifacts.push(format!("{} ({size}, {packages})", path.display()));
                Vec::new()
            }
            Event::Finished { .. } => self.finish(event),
        }
    }

    /// The line that names the build, once it is known.
    pub(super) fn heading(&self) -> Option<String> {
        let Self { runner, accelerator, history: History { package, .. }, .. } = self;
        let accelerator = accelerator.map(|name| format!(" ({name})")).unwrap_or_default();
        runner.map(|runner| format!("{package}, {}{accelerator}", runner.name()))
    }

    fn label(&self, step: &StepName) -> String {
        let number = step.index + 1;
        if self.steps == 0 {
            format!("{number} {}", step.name)
        } else {
            format!("{number}/{} {}", self.steps, step.name)
        }
    }

    fn image(&mut self, image: &str, state: ImageState, now: Duration) -> Vec<Message> {
        let (activity, text) = match state {
            ImageState::Present => ("starting the guest", None),
            // One of apk's packages is composed of what is in the cache.
            ImageState::Making if image.starts_with("apk: ") => ("making the image", Some("is being made")),
            ImageState::Making => ("making the image", Some("is being made; this takes minutes, once")),
            ImageState::Made => ("starting the guest", Some("has been made")),
            ImageState::Waiting => {
                ("waiting for the image", Some("is being made by another kiln; waiting for it"))
            }
        };
        self.activity = Some((activity.into(), now));
        text.map_or_else(Vec::new, |text| line(format!("image {image} {text}")))
    }

    fn fetch_plan(&mut self, files: usize, bytes: u64) -> Vec<Message> {
        self.fetches = Fetches::new(files, bytes);
        line(format!("{} to be fetched: {}", format::packages(files), format::size(bytes)))
    }

    fn fetch(&mut self, fetch: &Fetch, now: Duration) -> Vec<Message> {
        let (activity, text) = self.fetches.take(fetch);
        let since = self.activity.as_ref().map_or(now, |(_, since)| *since);
        self.activity = Some((activity, since));
        vec![Message::Fetch(text)]
    }

    fn boot(&mut self, phases: &[Phase], now: Duration) -> Vec<Message> {
        self.activity = Some(("starting the first step".into(), now));
        // A sandbox has no clock of its own to be set, and says that it took no time.
        let long = |phase: &&Phase| phase.duration >= Duration::from_millis(1);
        let phases: Vec<Phase> = phases.iter().filter(long).cloned().collect();
        let took = if phases.is_empty() { String::new() } else { format!(": {}", format::phases(&phases)) };
        line(format!("the guest is ready{took}"))
    }

    fn step_finished(
        &mut self,
        step: &StepName,
        status: Status,
        duration: Duration,
        now: Duration,
    ) -> Vec<Message> {
        let lines = self.lines.finish(step);
        let mut messages = self.output(step, lines);
        if status == Status::Code(0) {
            // A later failure is not the doing of this step.
            self.history.last_lines.clear();
        }
        self.history.times.push((step.name.clone(), duration));
        let is_last = step.index as usize + 1 >= self.steps;
        let activity = if is_last { "finishing" } else { "starting the next step" };
        self.activity = Some((activity.into(), now));
        messages.push(Message::Ended(self.label(step), status, duration));
        messages
    }

    fn shell_closed(&mut self, step: &StepName, status: Status, now: Duration) -> Vec<Message> {
        if status == Status::Code(0) {
            self.activity = Some(("starting the next step".into(), now));
            self.history.last_lines.clear();
            return line(format!(
                "the shell ended with 0: step {} counts as done, by hand",
                self.label(step)
            ));
        }
        self.activity = Some(("finishing".into(), now));
        line(format!("the shell ended ({}): so does the build", format::status(status)))
    }

    fn output(&mut self, step: &StepName, lines: Vec<String>) -> Vec<Message> {
        for line in &lines {
            if self.history.last_lines.len() == LAST_LINES {
                self.history.last_lines.pop_front();
            }
            self.history.last_lines.push_back(line.clone());
        }
        let label = self.label(step);
        lines.into_iter().map(|line| Message::Output(label.clone(), line)).collect()
    }

    fn finish(&mut self, event: &Event) -> Vec<Message> {
        self.activity = None;
        vec![Message::Summary(Box::new(Summary {
            finished: event.clone(),
            history: std::mem::take(&mut self.history),
        }))]
    }
}

fn lines(text: &str) -> Vec<Message> {
    text.lines().map(|text| Message::Line(text.into())).collect()
}

fn line(text: String) -> Vec<Message> {
    vec![Message::Line(text)]
}
