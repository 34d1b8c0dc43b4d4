//! What happened: the only thing that the stages of a build say to the outside. `report` prints it, for a person or as JSON.
//!
//! Each event is an object with `event` (its name) and the fields below; the printer adds `time_ms` since the start.

mod cache;
mod phases;
mod utf8;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use data_encoding::BASE64;
use serde::{Serialize, Serializer};

pub use cache::{Amount, CacheDirectory, CacheFate, CacheReport, DiscardGap, UsageGap};
pub use phases::Phases;
pub use utf8::Utf8Splitter;

use crate::{
    exit::Fault,
    plan::{Accelerator, RunnerKind},
};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// What will be done, before anything is.
    Plan {
        /// `name-version-rN`.
        package: String,
        /// The architecture.
        arch: String,
        /// The backend.
        runner: RunnerKind,
        /// How many steps will run.
        steps: usize,
        /// The root of the guest, in a word.
        image: String,
        /// The host directory of the cache, if there is one.
        #[serde(serialize_with = "lossy_option")]
        cache_dir: Option<PathBuf>,
    },
    /// Which accelerator was taken.
    Accelerator {
        /// What runs the guest's instructions.
        accelerator: Accelerator,
        /// Why it is not the faster one; `None` where it is.
        why: Option<String>,
    },
    /// The root image.
    Image {
        /// In a word.
        image: String,
        /// What happens to it.
        state: ImageState,
    },
    /// One line from the making of an image, a daemon or a fallback that a person may want to see.
    Note {
        /// The line.
        text: String,
    },
    /// Something went wrong that the build survives.
    Warning {
        /// What it is about.
        kind: WarningKind,
        /// One sentence or two for a person.
        text: String,
    },
    /// The guest is ready.
    Boot {
        /// What it took, phase by phase, in order, as the guest's own clock says.
        phases: Vec<Phase>,
    },
    /// A step starts.
    StepStarted {
        /// Which.
        step: StepName,
    },
    /// A step wrote something.
    Output {
        /// Which.
        step: StepName,
        /// `stdout` or `stderr`.
        stream: Stream,
        /// What.
        #[serde(flatten)]
        data: Data,
    },
    /// A step ended.
    StepFinished {
        /// Which.
        step: StepName,
        /// How.
        status: Status,
        /// How long it took.
        #[serde(rename = "duration_ms", serialize_with = "millis")]
        duration: Duration,
    },
    /// A step failed, and a shell is opened in its place.
    ShellOpened {
        /// The step.
        step: StepName,
    },
    /// That shell ended: with 0 the build goes on.
    ShellClosed {
        /// The step.
        step: StepName,
        /// How.
        status: Status,
        /// How long somebody sat at it.
        #[serde(rename = "duration_ms", serialize_with = "millis")]
        duration: Duration,
    },
    /// What became of the cache.
    Cache(CacheReport),
    /// A package was written.
    Artifact {
        /// The package or subpackage.
        package: String,
        /// Where it was written.
        #[serde(serialize_with = "lossy")]
        path: PathBuf,
        /// The size of that file.
        bytes: u64,
        /// How many files, links and directories it holds.
        entries: u64,
    },
    /// The last event.
    Finished {
        /// `success`, `failed`, `timed_out`, `interrupted`.
        outcome: Outcome,
        /// kiln's exit code.
        exit_code: u8,
        /// The whole command.
        #[serde(rename = "duration_ms", serialize_with = "millis")]
        duration: Duration,
        /// Where the time went, in order; together they are `duration`, however the command ended. `plan`: reading the build file
        /// and this host; `wait`: for other users of the cache; `image`: its root is made; `import`: docker gets it; `boot`, `steps`,
        /// `shell` (a person sat at it), `artifacts`, `cache`, `shutdown`, `commit`.
        phases: Vec<Phase>,
        /// Where the log files of this build lie.
        #[serde(serialize_with = "lossy_option")]
        logs: Option<PathBuf>,
        /// What went wrong, if something did.
        error: Option<String>,
        /// The way out of it, if there is one.
        way_out: Option<String>,
        /// The faults of the build file, where it has some; where a step failed, its place there.
        faults: Vec<Fault>,
    },
}

/// What a warning is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// A process of the guest has not ended, and may still write into the cache.
    ProcessStays,
    /// Docker keeps a volume of this build.
    VolumeStays,
    /// Files of an interrupted image build cannot be removed.
    ImageStays,
    /// The log of an old build cannot be removed.
    LogStays,
    /// The guest's console has no log file.
    NoConsoleLog,
    /// Another commit into the cache is under way.
    CommitWaits,
    /// The record of an earlier commit cannot be carried out.
    CommitStuck,
    /// The cache is as a killed build has left it, or was.
    KilledBuild,
    /// Files of the cache have older times than their last use.
    MtimesStale,
    /// The sums of the cache do not have the last commits.
    SummaryStale,
    /// A staging directory of a commit that was never decided cannot be removed.
    StagingStays,
    /// A file at `.kiln` in the cache was removed.
    ForeignEntry,
}

/// A step's place among the steps of the build (from 0) and its label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct StepName {
    /// From 0.
    pub index: u32,
    /// What the build file calls it, or a name made for it.
    pub name: String,
}

/// A piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// UTF-8, never cut inside a character.
    Text(String),
    /// Anything else.
    Bytes(Vec<u8>),
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Text(text) => map.serialize_entry("text", text)?,
            Self::Bytes(bytes) => map.serialize_entry("base64", &BASE64.encode(bytes))?,
        }
        map.end()
    }
}

/// Which of a step's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a step ended: one of the two numbers, or neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
    /// Its time ran out.
    TimedOut,
    /// The build was interrupted.
    Cancelled,
}

/// What happens to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageState {
    /// It is in the store.
    Present,
    /// It is being made; this takes minutes.
    Making,
    /// It has been made.
    Made,
    /// Another process makes it; this one waits.
    Waiting,
}

/// A named stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Phase {
    /// In a word.
    pub name: String,
    /// How long.
    #[serde(rename = "duration_ms", serialize_with = "millis")]
    pub duration: Duration,
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did what was asked.
    Success,
    /// It did not.
    Failed,
    /// A time-out ran out.
    TimedOut,
    /// A signal ended it.
    Interrupted,
}

fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
}

/// A path need not be UTF-8, and JSON must be: an event is not lost for it.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

fn lossy_option<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => lossy(path, serializer),
        None => serializer.serialize_none(),
    }
}

/// Where events go: a plain function, so that a stage neither knows nor waits for who prints them.
pub trait Sink {
    /// Takes one event.
    fn emit(&mut self, event: Event);
}

impl<F: FnMut(Event)> Sink for F {
    fn emit(&mut self, event: Event) {
        self(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_object() {
        let event = Event::Output {
            step: StepName { index: 2, name: "make".into() },
            stream: Stream::Stderr,
            data: Data::Bytes(vec![0xff]),
        };
        let json = serde_json::to_string(&event).expect("events are serializable");
        assert_eq!(
            json,
            r#"{"event":"output","step":{"index":2,"name":"make"},"stream":"stderr","base64":"/w=="}"#
        );
    }
}
