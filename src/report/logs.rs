//! The log files of a build, below `<KILN_HOME>/logs`, and the removal of old ones.
//!
//! `output.log` has the bytes that the steps wrote, as they came; `events.jsonl` has all other events; `console.log` is
//! for the runner: the guest's kernel writes there. Of each the beginning and the end are kept. A build holds a lock on its
//! `output.log`, so that no other removes it.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

use super::{format, json};
use crate::{
    event::{Data, Event, Sink, StepName, WarningKind},
    logfile::LogFile,
};

/// The number of builds whose logs are kept.
const KEEP: usize = 20;

/// The most bytes of all logs together: the oldest go first. Running builds are not counted.
const KEEP_BYTES: u64 = 256 << 20;

/// The bytes of `output.log` that are kept of its beginning, and as many of its end: a guest can write for ever.
const OUTPUT: u64 = 8 << 20;
/// The same of `console.log`.
const CONSOLE: u64 = 4 << 20;
/// The same of `events.jsonl`.
const EVENTS: u64 = 1 << 20;

/// The open log files of one build.
#[derive(Debug)]
pub struct Logs {
    directory: PathBuf,
    output: LogFile,
    events: LogFile,
    /// Held while the build runs.
    _lock: Flock<File>,
    /// Whether the output ends in the middle of a line.
    mid_line: bool,
}

impl Logs {
    /// Makes `<dir>/<time>-<package>-<pid>`, and removes what is older than the last 20 builds.
    pub fn open(dir: &Path, package: &str, sink: &mut dyn Sink) -> Result<Self> {
        Self::open_at(dir, package, SystemTime::now(), sink)
    }

    fn open_at(dir: &Path, package: &str, now: SystemTime, sink: &mut dyn Sink) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        let directory = make_directory(dir, package, now)
            .with_context(|| format!("make a directory in {}", dir.display()))?;
        let file = |name: &str| {
            let path = directory.join(name);
            let options = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&path);
            options.with_context(|| format!("make {}", path.display()))
        };
        let lock = lock(file("output.log")?)
            .with_context(|| format!("lock output.log in {}", directory.display()))?;
        file("events.jsonl")?;
        file("console.log")?;
        let open = |name: &str, most, gap| {
            let path = directory.join(name);
            LogFile::open(&path, most, gap).with_context(|| format!("open {}", path.display()))
        };
        let (output, events) =
            (open("output.log", OUTPUT, gap)?, open("events.jsonl", EVENTS, event_of_gap)?);
        remove_old(dir, &directory, KEEP_BYTES, sink)
            .with_context(|| format!("remove old logs from {}", dir.display()))?;
        Ok(Self { directory, output, events, _lock: lock, mid_line: false })
    }

    /// The directory of the files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file for the guest's console; it exists, and is empty.
    pub fn console(&self) -> PathBuf {
        self.directory.join("console.log")
    }

    /// A line of kiln's own between the output of steps.
    fn mark(&mut self, step: &StepName, text: &str) {
        let start = if self.mid_line { "\n" } else { "" };
        self.mid_line = false;
        self.output.write(format!("{start}==> step {} ({}): {text}\n", step.index + 1, step.name).as_bytes());
    }
}

impl Logs {
    /// Takes an event with its time since the start.
    pub fn record(&mut self, event: &Event, at: Duration) {
        match event {
            Event::Output { step: _, stream: _, data } => {
                let bytes = match data {
                    Data::Text(text) => text.as_bytes(),
                    Data::Bytes(bytes) => bytes,
                };
                self.mid_line = bytes.last().map_or(self.mid_line, |&byte| byte != b'\n');
                return self.output.write(bytes);
            }
            Event::StepStarted { step } => self.mark(step, "started"),
            Event::StepFinished { step, status, duration } => {
                self.mark(
                    step,
                    &format!("{} after {}", format::status(*status), format::duration(*duration)),
                );
            }
            _ => {}
        }
        self.events.write(json::line(event, at).as_bytes());
    }
}

/// The log file of a console; a warning and `None` if it cannot be opened, which is no reason not to build.
pub fn console_log(path: &Path, sink: &mut dyn Sink) -> Option<LogFile> {
    let mut warn = |error: &std::io::Error| {
        let text = format!("the guest's console is not logged: open {}: {error}", path.display());
        sink.emit(Event::Warning { kind: WarningKind::NoConsoleLog, text });
    };
    LogFile::open(path, CONSOLE, gap).inspect_err(&mut warn).ok()
}

/// The line in the place of bytes that are left out.
fn gap(bytes: u64) -> String {
    format!("\n==> {} left out here\n", format::size(bytes))
}

/// The same, as an event.
fn event_of_gap(bytes: u64) -> String {
    json::line(&Event::Note { text: format!("{} left out here", format::size(bytes)) }, Duration::ZERO)
}

fn lock(file: File) -> nix::Result<Flock<File>> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error)
}

/// A new directory for this build, even for a second build of the same process in the same second.
fn make_directory(dir: &Path, package: &str, now: SystemTime) -> std::io::Result<PathBuf> {
    let plain = |char: char| char.is_ascii_alphanumeric() || "._+-".contains(char);
    let package: String =
        package.chars().take(100).map(|char| if plain(char) { char } else { '_' }).collect();
    let name = format!("{}-{package}-{}", stamp(now), std::process::id());
    let mut path = dir.join(&name);
    let mut count = 1;
    loop {
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                count += 1;
                path = dir.join(format!("{name}.{count}"));
            }
            result => return result.map(|()| path),
        }
    }
}

/// Removes the logs of all but the last [`KEEP`] builds, `own` included, and the oldest of these above `most` bytes; running builds
/// stay.
fn remove_old(dir: &Path, own: &Path, most: u64, sink: &mut dyn Sink) -> std::io::Result<()> {
    let mut builds = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_build)
            && entry.file_type()?.is_dir()
            && entry.path() != own
        {
            builds.push(entry.path());
        }
    }
    builds.sort();
    let mut bytes = 0;
    for (newer, build) in builds.iter().rev().enumerate() {
        bytes += size(build);
        if newer + 1 >= KEEP || bytes > most {
            remove(build, sink);
        }
    }
    Ok(())
}

/// The size of a build's logs.
fn size(build: &Path) -> u64 {
    let files = std::fs::read_dir(build).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// Removes the logs of a build, unless it still runs.
fn remove(build: &Path, sink: &mut dyn Sink) {
    match File::open(build.join("output.log")).map(lock) {
        // It still runs.
        Ok(Err(_)) => {}
        // The lock is held during the removal; a build that was killed early has no output.log to lock.
        Ok(Ok(_)) | Err(_) => match std::fs::remove_dir_all(build) {
            // Another kiln has removed it.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let text = format!("the old log {} cannot be removed: {error}", build.display());
                sink.emit(Event::Warning { kind: WarningKind::LogStays, text });
            }
            Ok(()) => {}
        },
    }
}

/// Whether a name is that of a build's directory: no other entry is removed.
fn is_build(name: &str) -> bool {
    let like_stamp =
        |(byte, example): (u8, u8)| if example == b'0' { byte.is_ascii_digit() } else { byte == example };
    let example = b"00000000T000000Z-";
    let pid = name.rsplit('-').next().unwrap_or_default();
    name.len() > example.len()
        && name.bytes().zip(*example).all(like_stamp)
        && pid.starts_with(|char: char| char.is_ascii_digit())
        && pid.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// `20261122T235016Z`: UTC, sorted by name is sorted by time.
fn stamp(time: SystemTime) -> String {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, second) = (since_epoch / 86_400, since_epoch % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// The Gregorian date so many days after 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// civil_from_days: years are taken to begin in March, so that the leap day is the last).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Status, Stream};

    /// A sink of a test in which nothing goes wrong.
    fn unexpected(event: Event) {
        panic!("{event:?}");
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_stamp_is_the_time_in_utc() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_709_251_199, "20240229T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(stamp(at(seconds)), text);
        }
    }

    #[test]
    fn output_is_kept_as_it_came_with_a_line_for_each_step() {
        let home = tempfile::tempdir().expect("a scratch directory");
        let mut logs = Logs::open(&home.path().join("logs"), "a/../b", &mut unexpected).expect("writable");
        let step = StepName { index: 1, name: "make".into() };
        logs.record(&Event::StepStarted { step: step.clone() }, Duration::from_millis(7));
        for data in [Data::Text("caf\u{e9}\n".into()), Data::Bytes(b"\xff\x1b[2J".to_vec())] {
            logs.record(
                &Event::Output { step: step.clone(), stream: Stream::Stdout, data },
                Duration::from_millis(7),
            );
        }
        logs.record(
            &Event::StepFinished { step, status: Status::Code(2), duration: Duration::from_secs(3) },
            Duration::from_millis(7),
        );

        let read = |name| std::fs::read(logs.directory().join(name)).expect("it was written");
        assert_eq!(
            read("output.log"),
            b"==> step 2 (make): started\ncaf\xc3\xa9\n\xff\x1b[2J\n==> step 2 (make): exit status 2 after 3.0s\n"
        );
        let events = String::from_utf8(read("events.jsonl")).expect("JSON is UTF-8");
        let names: Vec<serde_json::Value> =
            events.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
        assert_eq!(names.len(), 2);
        assert_eq!(
            (&names[0]["event"], &names[1]["event"]),
            (&"step_started".into(), &"step_finished".into())
        );
        assert_eq!(read("console.log"), b"");
        assert_eq!(logs.directory().parent(), Some(&*home.path().join("logs")));
    }

    #[test]
    fn the_last_builds_stay_and_running_builds_and_other_entries() {
        let home = tempfile::tempdir().expect("a scratch directory");
        let running = Logs::open_at(home.path(), "running", at(0), &mut unexpected).expect("writable");
        std::fs::create_dir(home.path().join("mine-1")).expect("writable");
        for second in 1..=30 {
            Logs::open_at(home.path(), "p", at(second), &mut unexpected).expect("writable");
        }
        let again = Logs::open_at(home.path(), "p", at(30), &mut unexpected)
            .expect("a second build in the same second");

        let mut left: Vec<String> = std::fs::read_dir(home.path())
            .expect("readable")
            .map(|entry| entry.expect("readable").file_name().into_string().expect("ASCII"))
            .collect();
        left.sort();
        assert!(running.directory().is_dir() && again.directory().is_dir());
        assert!(left[1].starts_with("19700101T000012Z-p-"), "{left:?}");
        assert_eq!((left.len(), left[21].as_str()), (22, "mine-1"));
    }

    #[test]
    fn of_a_long_log_the_beginning_and_the_end_are_kept() {
        let home = tempfile::tempdir().expect("a scratch directory");
        let mut logs = Logs::open(home.path(), "p", &mut unexpected).expect("writable");
        let directory = logs.directory().to_owned();
        let step = StepName { index: 0, name: "noisy".into() };
        let piece = "a line of some length that says nothing\n".repeat(1600);
        for _ in 0..320 {
            let data = Data::Text(piece.clone());
            logs.record(
                &Event::Output { step: step.clone(), stream: Stream::Stdout, data },
                Duration::from_millis(7),
            );
            logs.record(&Event::Note { text: "x".repeat(10_000) }, Duration::from_millis(7));
            assert!(size(&directory) <= 2 * (OUTPUT + EVENTS));
        }
        logs.record(
            &Event::StepFinished { step, status: Status::Code(1), duration: Duration::ZERO },
            Duration::from_millis(7),
        );
        drop(logs);
        let read = |name| std::fs::read_to_string(directory.join(name)).expect("text");
        let output = read("output.log");
        assert!(output.len() as u64 <= 2 * OUTPUT + 100);
        assert!(output.contains("\n==> 3.5 MiB left out here\na line"), "{}", output.len());
        assert!(output.ends_with("==> step 1 (noisy): exit status 1 after 0ms\n"));
        let events = read("events.jsonl");
        let note =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["text"].to_string();
        let gaps = events.lines().map(note).filter(|text| text.ends_with("left out here\"")).count();
        assert_eq!((gaps, std::fs::read_dir(&directory).expect("listed").count()), (1, 3));
    }

    #[test]
    fn all_logs_together_are_bounded_and_the_oldest_go_first() {
        let home = tempfile::tempdir().expect("a scratch directory");
        for second in 0..6 {
            let logs = Logs::open_at(home.path(), "p", at(second), &mut unexpected).expect("writable");
            std::fs::write(logs.console(), [b'x'; 1000]).expect("writable");
        }
        let own = Logs::open_at(home.path(), "p", at(6), &mut unexpected).expect("writable");
        remove_old(home.path(), own.directory(), 3500, &mut unexpected).expect("removed");
        let left = std::fs::read_dir(home.path()).expect("listed").count();
        assert_eq!(left, 4);
        assert!(home.path().join(format!("19700101T000005Z-p-{}", std::process::id())).is_dir());
    }
}
