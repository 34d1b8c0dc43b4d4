//! The summary of a build: how it ended, its phases, its packages, its cache, and the way out if it failed.

use std::{collections::VecDeque, path::Path, time::Duration};

use super::format;
use crate::{
    event::{CacheDirectory, CacheReport, Event, Outcome, Phase},
    plan::CacheMode,
};

/// The event's name for files at the top of the cache that are not sources.
const TOP: &str = ".";

/// The number of slow steps that are named.
const SLOWEST: usize = 3;

/// A shorter phase is not named.
const SHORTEST_PHASE: Duration = Duration::from_millis(1);

/// The summary.
#[derive(Debug, PartialEq)]
pub(super) struct Summary {
    /// An [`Event::Finished`].
    pub finished: Event,
    pub history: History,
}

/// Facts for the summary.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    pub package: String,
    /// The duration of each step.
    pub times: Vec<(String, Duration)>,
    pub artifacts: Vec<String>,
    pub cache: Option<CacheReport>,
    /// The last lines of the last step.
    pub last_lines: VecDeque<String>,
}

/// A line of the summary, with its kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The build succeeded.
    Good(String),
    /// The build failed.
    Bad(String),
    /// A line of a step's output.
    Quoted(String),
    /// Any other.
    Plain(String),
}

/// Where the last lines of a failed step are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastLines {
    /// In the summary: a log is searched from its end, and a quiet display has not shown them.
    Quoted,
    /// Right above the summary, as the step wrote them.
    Above,
}

impl Summary {
    /// All lines.
    pub(super) fn lines(&self, last_lines: LastLines) -> Vec<Line> {
        let Self { finished, history } = self;
        let Event::Finished { outcome, exit_code: _, duration: _, phases, logs, error, way_out, faults: _ } =
            finished
        else {
            return Vec::new();
        };
        let mut lines = vec![self.result()];
        let mut plain = |text: String| lines.push(Line::Plain(text));
        let long = |phase: &&Phase| phase.duration >= SHORTEST_PHASE;
        let phases: Vec<Phase> = phases.iter().filter(long).cloned().collect();
        if !phases.is_empty() {
            plain(format!("  time: {}", format::phases(&phases)));
        }
        if history.times.len() > 1 {
            plain(format!("  slowest steps: {}", slowest(&history.times)));
        }
        for artifact in &history.artifacts {
            plain(format!("  {artifact}"));
        }
        if let Some(report) = &history.cache {
            plain(format!("  {}", cache(report)));
        }
        if let Some(logs) = logs {
            plain(format!("  logs: {}", Path::display(logs)));
        }
        if *outcome != Outcome::Success {
            lines.extend(self.quote(last_lines));
            lines.extend(failure(error.as_deref(), way_out.as_deref()));
        }
        lines
    }

    /// Its first line.
    pub(super) fn result(&self) -> Line {
        let Self { finished, history } = self;
        let Event::Finished { outcome, exit_code, duration, .. } = finished else {
            return Line::Plain(String::new());
        };
        let name = if history.package.is_empty() { "kiln" } else { &history.package };
        let time = format::duration(*duration);
        let bad = |what| Line::Bad(format!("{name}: {what} after {time} (exit code {exit_code})"));
        match outcome {
            Outcome::Success => Line::Good(format!("{name}: success in {time}")),
            Outcome::Failed => bad("failed"),
            Outcome::TimedOut => bad("timed out"),
            Outcome::Interrupted => bad("interrupted"),
        }
    }

    fn quote(&self, last_lines: LastLines) -> Vec<Line> {
        let quoted = &self.history.last_lines;
        if quoted.is_empty() || last_lines == LastLines::Above {
            return Vec::new();
        }
        let heading = Line::Plain(format!("the last lines of its output ({}):", quoted.len()));
        std::iter::once(heading).chain(quoted.iter().map(|line| Line::Quoted(line.clone()))).collect()
    }
}

fn failure(error: Option<&str>, way_out: Option<&str>) -> Vec<Line> {
    let error = error.into_iter().flat_map(|text| hanging("error: ", text)).map(Line::Bad);
    let way_out = way_out.into_iter().flat_map(|text| hanging("way out: ", text)).map(Line::Plain);
    error.chain(way_out).collect()
}

/// The lines of `text`, the first after `head` and the others below it.
fn hanging(head: &str, text: &str) -> Vec<String> {
    let line = |(at, line): (usize, &str)| match (at, line) {
        (0, line) => format!("{head}{line}"),
        (_, "") => String::new(),
        (_, line) => format!("{:width$}{line}", "", width = head.len()),
    };
    text.lines().enumerate().map(line).collect()
}

fn slowest(times: &[(String, Duration)]) -> String {
    let mut times: Vec<_> = times.iter().collect();
    times.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    let each = |(name, time): &&(String, Duration)| format!("{name} {}", format::duration(*time));
    times.iter().take(SLOWEST).map(each).collect::<Vec<_>>().join(", ")
}

/// `cache (commit): held 412 MiB, used 40.0 MiB, new 38.0 MiB (pip 30.0 MiB, gomodcache 8.0 MiB), kept`.
fn cache(report: &CacheReport) -> String {
    let CacheReport { mode, why, reused_why, directories, left_out, .. } = report;
    let Some(mode) = mode else { return format!("cache: none ({why})") };
    let before: Option<u64> = directories.iter().map(|one| one.before.map(|amount| amount.bytes)).sum();
    let mut parts: Vec<String> =
        before.map(|bytes| format!("held {}", format::size(bytes))).into_iter().collect();
    let reused: Option<u64> = directories.iter().map(|one| one.reused.map(|amount| amount.bytes)).sum();
    if let Some(bytes) = reused.filter(|_| !directories.is_empty()) {
        let bound = if reused_why.is_some() { "at least " } else { "" };
        parts.push(format!("used {bound}{}", format::size(bytes)));
    }
    parts.extend(writes(report));
    parts.extend(left_out.as_ref().map(|left_out| format!("but not {left_out}")));
    format!("cache ({}): {}", mode.name(), parts.join(", "))
}

/// The build's writes, and what happened to them.
fn writes(report: &CacheReport) -> Vec<String> {
    let CacheReport { mode, persisted, why, waiting, discarded, discarded_why, directories, .. } = report;
    let is_counted = match discarded {
        Some(_) => true,
        // Without directories there is no count.
        None if *persisted => directories.is_empty() || directories.iter().any(|one| one.new.is_some()),
        None => mode.is_none(),
    };
    let new = new(directories);
    let fate = match (persisted, waiting) {
        (true, 0) => "kept".into(),
        (true, _) => format!("kept, but {why}"),
        (false, _) => format!("not kept: {why}"),
    };
    let besides: u64 = directories.iter().filter_map(|one| one.besides).map(|amount| amount.bytes).sum();
    let besides = (besides > 0).then(|| format!("besides {} that tools make again", format::size(besides)));
    let kept = |first: String| [Some(first), besides, Some(fate)].into_iter().flatten().collect();
    match (new, discarded) {
        _ if !is_counted => kept("what is new was not counted".into()),
        (Some(new), Some(_)) => {
            let bound = if discarded_why.is_some() { "at least " } else { "" };
            vec![format!("thrown away {bound}{new}: {why}")]
        }
        (Some(new), None) => kept(format!("new {new}")),
        (None, Some(_)) if *mode == Some(CacheMode::Discard) => vec!["nothing new".into()],
        (None, _) => kept("nothing new".into()),
    }
}

/// `38.0 MiB (pip 30.0 MiB, gomodcache 8.0 MiB)`; `None` if nothing is new.
fn new(directories: &[CacheDirectory]) -> Option<String> {
    let mut new: Vec<(u64, &str)> = directories
        .iter()
        .filter_map(|CacheDirectory { name, new, .. }| {
            Some((new.filter(|new| new.entries > 0)?.bytes, name.as_str()))
        })
        .collect();
    new.sort_by_key(|&(bytes, name)| (std::cmp::Reverse(bytes), name));
    let total = format::size(new.iter().map(|(bytes, _)| bytes).sum());
    let named = |name| if name == TOP { "files at its top" } else { name };
    let each: Vec<String> =
        new.iter().map(|(bytes, name)| format!("{} {}", named(*name), format::size(*bytes))).collect();
    (!new.is_empty()).then(|| format!("{total} ({})", each.join(", ")))
}
