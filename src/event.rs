//! Events: the only output of the stages of a build. `report` prints them, for people or as JSON.
//!
//! Each event is an object with `event` (its name) and the fields below; the printer adds `time_ms` since the start.

mod cache;
mod fetch;
mod phases;
mod utf8;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use data_encoding::BASE64;
use serde::{Serialize, Serializer};

pub use cache::{Amount, CacheDirectory, CacheFate, CacheReport, DiscardGap, UsageGap};
pub use fetch::{Fetch, FetchState};
pub use phases::Phases;
pub use utf8::Utf8Splitter;

use crate::{
    exit::Fault,
    plan::{Accelerator, RunnerKind},
};

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The build that is about to start.
    Plan {
        /// `name-version-rN`.
        package: String,
        /// The architecture.
        arch: String,
        /// The backend.
        runner: RunnerKind,
        /// The number of steps.
        steps: usize,
        /// The reference of the guest's root.
        image: String,
        /// The host directory of the cache, if there is one.
        #[serde(serialize_with = "lossy_option")]
        cache_dir: Option<PathBuf>,
    },
    /// The accelerator of a microVM.
    Accelerator {
        /// The accelerator.
        accelerator: Accelerator,
        /// Why it is not KVM; `None` for KVM.
        why: Option<String>,
    },
    /// The root image.
    Image {
        /// Its reference.
        image: String,
        /// Its state.
        state: ImageState,
    },
    /// Packages of the root are not in the cache, and are fetched.
    FetchPlan {
        /// How many.
        files: usize,
        /// Their bytes, as their indexes say.
        bytes: u64,
    },
    /// A file is fetched.
    Fetch(Fetch),
    /// A line for people: from an image build, a daemon, or about a fallback.
    Note {
        /// The line.
        text: String,
    },
    /// Something went wrong that the build survives.
    Warning {
        /// Its kind, for programs.
        kind: WarningKind,
        /// One sentence or two for people.
        text: String,
    },
    /// The guest is ready.
    Boot {
        /// The phases of its start, in order, by the guest's own clock.
        phases: Vec<Phase>,
    },
    /// A step starts.
    StepStarted {
        /// Which.
        step: StepName,
    },
    /// Output of a step.
    Output {
        /// Which.
        step: StepName,
        /// The stream.
        stream: Stream,
        /// The bytes.
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
        /// How long it was open.
        #[serde(rename = "duration_ms", serialize_with = "millis")]
        duration: Duration,
    },
    /// The cache after the build.
    Cache(CacheReport),
    /// A package was written.
    Artifact {
        /// The package or subpackage.
        package: String,
        /// The file.
        #[serde(serialize_with = "lossy")]
        path: PathBuf,
        /// The size of that file.
        bytes: u64,
        /// The number of files, links and directories in it.
        entries: u64,
    },
    /// The index of the packages was written.
    Index {
        /// The file.
        #[serde(serialize_with = "lossy")]
        path: PathBuf,
        /// The size of that file.
        bytes: u64,
        /// How many packages it has, those of earlier builds included.
        packages: usize,
    },
    /// The last event.
    Finished {
        /// `success`, `failed`, `timed_out`, `interrupted`.
        outcome: Outcome,
        /// kiln's exit code.
        exit_code: u8,
        /// The duration of the whole command.
        #[serde(rename = "duration_ms", serialize_with = "millis")]
        duration: Duration,
        /// Where the time went, in order; together they are `duration`, however the command ended. `plan`: the build file and
        /// this host are read; `wait`: other users of the cache; `image`: the root is built; `import`: docker imports it; `boot`,
        /// `steps`, `shell` (an interactive shell), `artifacts`, `cache`, `shutdown`, `commit`.
        phases: Vec<Phase>,
        /// The directory with the log files of this build.
        #[serde(serialize_with = "lossy_option")]
        logs: Option<PathBuf>,
        /// The error, if there is one.
        error: Option<String>,
        /// The way out of it, if there is one.
        way_out: Option<String>,
        /// The faults of the build file; for a failed step, its place in the build file.
        faults: Vec<Fault>,
    },
}

/// The kind of a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// A process of the guest has not ended, and may still write into the cache.
    ProcessStays,
    /// Docker keeps a volume of this build.
    VolumeStays,
    /// Files of an interrupted image build cannot be removed.
    ImageStays,
    /// An image of the store is not what was noted of it.
    ImageDamaged,
    /// A directory of packages has no index, and is not used.
    RepositoryUnused,
    /// A file of the cache of apk's packages is damaged, and is fetched again.
    CacheDamaged,
    /// A key of a repository comes without TLS.
    KeyInsecure,
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
    /// Other users may read the signing key.
    KeyExposed,
    /// A linter found something in a package.
    Lint,
    /// A file of the sources has the text of a licence that the build file does not declare.
    License,
}

/// A step's place among the steps of the build (from 0) and its label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct StepName {
    /// From 0.
    pub index: u32,
    /// Its name in the build file, or one that kiln makes.
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

/// An output stream of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a step ended.
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

/// The state of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageState {
    /// It is in the store.
    Present,
    /// It is being built; this takes minutes.
    Making,
    /// It has been built.
    Made,
    /// Another process builds it; this one waits.
    Waiting,
}

/// A named stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// How long.
    #[serde(rename = "duration_ms", serialize_with = "millis")]
    pub duration: Duration,
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It succeeded.
    Success,
    /// It failed.
    Failed,
    /// A time-out ran out.
    TimedOut,
    /// A signal ended it.
    Interrupted,
}

fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
}

/// A path need not be UTF-8, but JSON must be.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

fn lossy_option<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => lossy(path, serializer),
        None => serializer.serialize_none(),
    }
}

/// Takes events. A plain function is a sink: a stage neither knows nor waits for the printer.
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
