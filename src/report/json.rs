//! An object per line: the event and `time_ms`, the time since the start.

use std::io::Write;

use serde::Serialize;

use super::display::{Display, Out};
use crate::event::Event;

/// The JSON Schema (draft 2020-12) of each line.
pub const SCHEMA: &str = include_str!("events.schema.json");

/// An event with its time.
#[derive(Serialize)]
struct Timed<'a> {
    #[serde(flatten)]
    event: &'a Event,
    time_ms: f64,
}

/// The line of an event, with its end.
pub(super) fn line(event: &Event, since_start: std::time::Duration) -> String {
    let time_ms = (since_start.as_secs_f64() * 1e6).round() / 1e3;
    let timed = Timed { event, time_ms };
    serde_json::to_string(&timed).expect("events have string keys, and paths that are made UTF-8") + "\n"
}

/// The JSON display.
pub(super) struct Json {
    out: Out,
}

impl Json {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out: Out(Some(out)) }
    }
}

impl Display for Json {
    fn show(&mut self, event: Event, now: std::time::Duration) {
        self.out.write(&line(&event, now));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        event::{
            Amount, CacheDirectory, CacheFate, CacheReport, Data, Fetch, FetchState, ImageState, Outcome,
            Phase, Status, StepName, Stream, WarningKind,
        },
        exit::Fault,
        plan::{Accelerator, CacheMode, RunnerKind},
    };

    const SECOND: Duration = Duration::from_secs(1);

    /// The number of its kind: a new kind breaks the build here, and then the test until it has a sample.
    fn kind(event: &Event) -> usize {
        match event {
            Event::Plan { .. } => 0,
            Event::Accelerator { .. } => 1,
            Event::Image { .. } => 2,
            Event::Note { .. } => 3,
            Event::Warning { .. } => 4,
            Event::Boot { .. } => 5,
            Event::StepStarted { .. } => 6,
            Event::Output { .. } => 7,
            Event::StepFinished { .. } => 8,
            Event::ShellOpened { .. } => 9,
            Event::ShellClosed { .. } => 10,
            Event::Cache(_) => 11,
            Event::Artifact { .. } => 12,
            Event::Index { .. } => 13,
            Event::FetchPlan { .. } => 14,
            Event::Fetch(_) => 15,
            Event::Finished { .. } => 16,
        }
    }

    fn samples() -> Vec<Event> {
        let step = || StepName { index: 1, name: "make".into() };
        let amount = Some(Amount { entries: 1, bytes: 2 });
        let directory =
            CacheDirectory { name: "pip".into(), before: amount, new: None, besides: amount, reused: amount };
        let output = |data| Event::Output { step: step(), stream: Stream::Stdout, data };
        let ended = |status| Event::StepFinished { step: step(), status, duration: SECOND };
        let fault =
            Fault { file: "a".into(), line: 1, column: 2, message: "bad".into(), hint: Some("mend".into()) };
        let phases = || vec![Phase { name: "boot".into(), duration: SECOND }];
        let image = |state| Event::Image { image: "debian:bookworm".into(), state };
        let fetch = |state, size| Event::Fetch(Fetch { name: "a-1-r0.apk".into(), state, bytes: 3, size });
        let mut events = WARNINGS.map(|kind| Event::Warning { kind, text: "a line".into() }).to_vec();
        events.extend([
            Event::Plan {
                package: "a-1-r0".into(),
                arch: "x86_64".into(),
                runner: RunnerKind::Qemu,
                steps: 2,
                image: "debian:bookworm".into(),
                cache_dir: Some("/cache".into()),
            },
            Event::Accelerator { accelerator: Accelerator::Tcg, why: Some("no KVM".into()) },
            image(ImageState::Present),
            image(ImageState::Making),
            image(ImageState::Made),
            image(ImageState::Waiting),
            Event::FetchPlan { files: 2, bytes: 1 << 40 },
            fetch(FetchState::Started, None),
            fetch(FetchState::Running, Some(4)),
            fetch(FetchState::Done, Some(3)),
            Event::Note { text: "a line".into() },
            Event::Boot { phases: phases() },
            Event::StepStarted { step: step() },
            output(Data::Text("text".into())),
            output(Data::Bytes(vec![0xff])),
            ended(Status::Code(2)),
            ended(Status::Signal(9)),
            ended(Status::TimedOut),
            ended(Status::Cancelled),
            Event::ShellOpened { step: step() },
            Event::ShellClosed { step: step(), status: Status::Code(0), duration: SECOND },
            Event::Cache(CacheReport {
                mode: Some(CacheMode::Commit),
                persisted: true,
                why: CacheFate::Merged,
                waiting: 0,
                exact: true,
                reused_why: None,
                left_out: None,
                discarded: amount,
                discarded_why: None,
                directories: vec![directory],
            }),
            Event::Artifact { package: "a".into(), path: "/a.apk".into(), bytes: 1, entries: 2 },
            Event::Index { path: "/APKINDEX.tar.gz".into(), bytes: 1, packages: 2 },
            Event::Finished {
                outcome: Outcome::Failed,
                exit_code: 3,
                duration: SECOND,
                phases: phases(),
                logs: None,
                error: Some("bad".into()),
                way_out: None,
                faults: vec![fault],
            },
        ]);
        events
    }

    const WARNINGS: [WarningKind; 19] = [
        WarningKind::ProcessStays,
        WarningKind::VolumeStays,
        WarningKind::ImageStays,
        WarningKind::LogStays,
        WarningKind::NoConsoleLog,
        WarningKind::CommitWaits,
        WarningKind::CommitStuck,
        WarningKind::KilledBuild,
        WarningKind::MtimesStale,
        WarningKind::SummaryStale,
        WarningKind::StagingStays,
        WarningKind::ForeignEntry,
        WarningKind::KeyExposed,
        WarningKind::RepositoryUnused,
        WarningKind::CacheDamaged,
        WarningKind::KeyInsecure,
        WarningKind::Lint,
        WarningKind::ImageDamaged,
        WarningKind::License,
    ];

    /// Breaks the build when a kind is added, until it stands in [`WARNINGS`] and in the schema.
    fn place(kind: WarningKind) -> usize {
        match kind {
            WarningKind::ProcessStays => 0,
            WarningKind::VolumeStays => 1,
            WarningKind::ImageStays => 2,
            WarningKind::LogStays => 3,
            WarningKind::NoConsoleLog => 4,
            WarningKind::CommitWaits => 5,
            WarningKind::CommitStuck => 6,
            WarningKind::KilledBuild => 7,
            WarningKind::MtimesStale => 8,
            WarningKind::SummaryStale => 9,
            WarningKind::StagingStays => 10,
            WarningKind::ForeignEntry => 11,
            WarningKind::KeyExposed => 12,
            WarningKind::RepositoryUnused => 13,
            WarningKind::CacheDamaged => 14,
            WarningKind::KeyInsecure => 15,
            WarningKind::Lint => 16,
            WarningKind::ImageDamaged => 17,
            WarningKind::License => 18,
        }
    }

    #[test]
    fn the_schema_has_each_kind_of_warning() {
        assert!(WARNINGS.map(place).into_iter().eq(0..WARNINGS.len()));
        let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
        let events = schema["oneOf"].as_array().expect("the events");
        let warning = events.iter().find(|event| event["properties"]["event"]["const"] == "warning");
        let kinds = warning.map(|event| event["properties"]["kind"]["enum"].clone());
        assert_eq!(kinds, Some(json!(WARNINGS)));
    }

    #[test]
    fn every_event_matches_the_schema() {
        let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
        let validator = jsonschema::validator_for(&schema).expect("the schema is one");
        let samples = samples();
        for event in &samples {
            let line: Value = serde_json::from_str(&line(event, SECOND)).expect("a line is JSON");
            if let Err(error) = validator.validate(&line) {
                panic!("{line}: {error}");
            }
            let mut other = line;
            other["unheard_of"] = json!(1);
            assert!(!validator.is_valid(&other), "{other}");
        }
        let kinds: std::collections::BTreeSet<usize> = samples.iter().map(kind).collect();
        assert!(kinds.into_iter().eq(0..=16));
    }
}
