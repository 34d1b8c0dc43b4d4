//! The lines of a guest, with the host's time of their arrival. The guest's clock loses time where the guest is emulated, so it is
//! not asked.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::pending,
    time::{Duration, Instant},
};

use anyhow::Result;
use kiln_protocol::{Stdin, Stream};

use crate::{
    backend::BoxFuture,
    engine::{Console, ConsoleInput},
};

/// The shortest time that is a value: a line takes up to a millisecond or two from the work to kiln, and two lines can come at once.
const SHORTEST: Duration = Duration::from_millis(5);
/// The most bytes of a line: what follows is cut off.
const MOST_BYTES: usize = 2000;
/// How many of the last lines are kept for an error.
const LAST_LINES: usize = 20;
/// The most facts of a guest, and failures.
const MOST_NAMES: usize = 100;

/// What a guest has said. It is the console of the guest's one command, which has no input.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The names whose markers count.
    expected: BTreeSet<String>,
    begun: BTreeMap<String, Instant>,
    ended: BTreeMap<String, Instant>,
    /// The result of each fio section: its error, and how many KiB it has moved.
    jobs: BTreeMap<String, (i32, u64)>,
    failed: BTreeMap<String, String>,
    /// Names and values.
    pub(super) facts: BTreeMap<String, String>,
    lines: [Vec<u8>; 2],
    last: VecDeque<String>,
}

impl Record {
    /// One that takes the markers with these names.
    pub(super) fn of(expected: impl IntoIterator<Item = String>) -> Self {
        Self { expected: expected.into_iter().collect(), ..Self::default() }
    }

    /// The time between the first beginning of `name` and its last end.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) fn elapsed(&self, name: &str) -> Result<Duration, String> {
        if let Some(why) = self.failed.get(name) {
            return Err(why.clone());
        }
        match (self.begun.get(name), self.ended.get(name)) {
            (Some(begun), Some(ended)) if *ended >= *begun + SHORTEST => Ok(*ended - *begun),
            (Some(_), Some(_)) => Err("it was too short to be timed".into()),
            (Some(_), None) => Err("it did not end".into()),
            (None, _) => Err("it did not begin".into()),
        }
    }

    /// As [`Self::elapsed`], for a section of fio that has to move this much.
    ///
    /// # Errors
    /// As [`Self::elapsed`].
    pub(super) fn elapsed_of_job(&self, name: &str, total_kib: u64) -> Result<Duration, String> {
        match self.jobs.get(name) {
            None => Err("fio has no result of it".into()),
            Some((0, kib)) if *kib == total_kib => self.elapsed(name),
            Some((0, kib)) => Err(format!("fio moved {kib} KiB of {total_kib}")),
            Some((error, _)) => Err(std::io::Error::from_raw_os_error(*error).to_string()),
        }
    }

    /// The last lines that were no markers, for an error.
    pub(super) fn last_lines(&self) -> String {
        self.last.iter().map(|line| format!("\n  {line}")).collect()
    }

    fn push(&mut self, stream: Stream, bytes: &[u8], now: Instant) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = &mut self.lines[usize::from(stream == Stream::Stderr)];
            let room = MOST_BYTES - line.len();
            line.extend(piece.iter().take(room));
            if piece.ends_with(b"\n") {
                let line = std::mem::take(line);
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end();
                match text.strip_prefix("@ ") {
                    Some(marker) if stream == Stream::Stdout => self.marker(marker, now),
                    Some(_) | None => self.keep(text),
                }
            }
        }
    }

    fn keep(&mut self, line: &str) {
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.escape_debug().to_string());
    }

    /// A line that begins with `@ `. The guest may print anything, so a marker that was not expected is an ordinary line.
    fn marker(&mut self, text: &str, now: Instant) {
        let mut words = text.splitn(3, ' ');
        let (kind, name, rest) =
            (words.next().unwrap_or(""), words.next().unwrap_or(""), words.next().unwrap_or(""));
        match kind {
            "fact" if self.facts.len() < MOST_NAMES => {
                self.facts.insert(name.into(), rest.escape_debug().to_string());
            }
            "begin" if self.expected.contains(name) => {
                self.begun.entry(name.into()).or_insert(now);
            }
            "end" if self.expected.contains(name) => {
                self.ended.insert(name.into(), now);
            }
            "failed" if self.expected.contains(name) => {
                self.failed.insert(name.into(), rest.escape_debug().to_string());
            }
            "job" if self.expected.contains(name) => {
                let numbers = rest
                    .split_once(' ')
                    .and_then(|(error, kib)| Some((error.parse().ok()?, kib.parse().ok()?)));
                if let Some(numbers) = numbers {
                    self.jobs.insert(name.into(), numbers);
                }
            }
            _ => self.keep(text),
        }
    }
}

impl Console for Record {
    fn stdin(&self) -> Stdin {
        Stdin::Null
    }

    fn begin(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) {}

    fn next(&mut self, _limit: usize) -> BoxFuture<'_, Result<ConsoleInput>> {
        Box::pin(pending())
    }

    fn show(&mut self, stream: Stream, bytes: &[u8]) -> Result<()> {
        self.push(stream, bytes, Instant::now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(names: &[&str]) -> Record {
        Record::of(names.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn a_time_goes_from_the_first_beginning_to_the_last_end() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut record = record(&["four", "other"]);
        // A line arrives in pieces, and two lines in one.
        record.push(Stream::Stdout, b"@ beg", at(0));
        record.push(Stream::Stdout, b"in four\n@ begin four\n", at(10));
        record.push(Stream::Stdout, b"@ begin four\n@ end four\n", at(20));
        record.push(Stream::Stderr, b"@ end four\n", at(500));
        record.push(Stream::Stdout, b"@ end four\n@ begin other\n", at(40));
        assert_eq!(record.elapsed("four"), Ok(Duration::from_millis(30)));
        assert_eq!(record.elapsed("other"), Err("it did not end".into()));
        assert_eq!(record.elapsed("third"), Err("it did not begin".into()));
        record.push(Stream::Stdout, b"@ end other\n", at(44));
        assert_eq!(record.elapsed("other"), Err("it was too short to be timed".into()));
    }

    #[test]
    fn a_job_counts_if_fio_has_done_all_of_it() {
        let start = Instant::now();
        let mut record = record(&["a", "b", "c", "d"]);
        for name in ["a", "b", "c", "d"] {
            record.push(Stream::Stdout, format!("@ begin {name}\n").as_bytes(), start);
            record.push(
                Stream::Stdout,
                format!("@ end {name}\n").as_bytes(),
                start + Duration::from_millis(50),
            );
        }
        record.push(Stream::Stdout, b"@ job a 0 8192\n@ job b 22 0\n@ job c 0 4\n@ job d x y\n", start);
        assert_eq!(record.elapsed_of_job("a", 8192), Ok(Duration::from_millis(50)));
        let why = |name| record.elapsed_of_job(name, 8192).expect_err("it is not whole");
        assert!(why("b").starts_with("Invalid argument"), "{}", why("b"));
        assert_eq!(why("c"), "fio moved 4 KiB of 8192");
        assert_eq!(why("d"), "fio has no result of it");
    }

    #[test]
    fn a_failure_of_the_guest_is_the_reason_and_other_lines_are_kept_for_errors() {
        let mut record = record(&["untar"]);
        let now = Instant::now();
        record.push(
            Stream::Stdout,
            b"@ begin untar\n@ failed untar tar exited with 2\n@ fact fio fio-3.33\n",
            now,
        );
        record.push(Stream::Stderr, b"tar: \x1b[1mNo space\n", now);
        record.push(Stream::Stdout, b"@ begin else\n", now);
        assert_eq!(record.elapsed("untar"), Err("tar exited with 2".into()));
        assert_eq!(record.facts["fio"], "fio-3.33");
        assert_eq!(record.last_lines(), "\n  tar: \\u{1b}[1mNo space\n  begin else");
    }

    #[test]
    fn what_a_guest_says_without_end_takes_little_room() {
        let mut record = record(&[]);
        for _ in 0..1000 {
            record.push(Stream::Stdout, &[b'x'; 4096], Instant::now());
        }
        assert_eq!(record.lines[0].len(), MOST_BYTES);
        for number in 0..1000 {
            record.push(Stream::Stdout, format!("\n@ fact n{number} v\nline\n").as_bytes(), Instant::now());
        }
        assert_eq!((record.last.len(), record.facts.len()), (LAST_LINES, MOST_NAMES));
    }
}
