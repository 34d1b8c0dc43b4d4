//! Whole builds on each display: the bytes that are written, with a clock that the test sets.

use std::{
    io::Write,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::*;
use crate::{
    event::{
        Amount, CacheDirectory, CacheFate, CacheReport, Data, DiscardGap, ImageState, Outcome, Phase, Status,
        StepName, Stream, WarningKind,
    },
    plan::{Accelerator, CacheMode, RunnerKind},
};

/// A writer whose bytes the test can read.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Screen {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().expect("no writer panics")))
            .expect("reports are UTF-8")
    }
}

/// A reporter with everything around it.
struct Stage {
    reporter: Reporter,
    stdout: Screen,
    stderr: Screen,
    millis: Arc<AtomicU64>,
    columns: Arc<AtomicU64>,
}

impl Stage {
    fn new(progress: Progress, terminal: Option<(bool, bool)>) -> Self {
        let (stdout, stderr, millis) = (Screen::default(), Screen::default(), Arc::new(AtomicU64::new(0)));
        let columns = Arc::new(AtomicU64::new(40));
        let (now, wide) = (Arc::clone(&millis), Arc::clone(&columns));
        let streams = OutputStreams {
            stdout: Box::new(stdout.clone()),
            stderr: Box::new(stderr.clone()),
            terminal: terminal.map(|(colour, unicode)| Terminal {
                columns: Box::new(move || wide.load(Ordering::Relaxed) as usize),
                can_move: true,
                colour,
                unicode,
            }),
            clock: Box::new(move || Duration::from_millis(now.load(Ordering::Relaxed))),
        };
        Self { reporter: Reporter::new(progress, streams), stdout, stderr, millis, columns }
    }

    fn emit(&mut self, millis: u64, event: Event) -> String {
        self.millis.store(millis, Ordering::Relaxed);
        self.reporter.emit(event);
        self.stderr.take()
    }

    fn tick(&mut self, millis: u64) -> String {
        self.millis.store(millis, Ordering::Relaxed);
        self.reporter.tick();
        self.stderr.take()
    }

    /// Everything that a build prints on stderr.
    fn all(&mut self, events: Vec<Event>) -> String {
        events.into_iter().map(|event| self.emit(1500, event)).collect()
    }
}

fn step(index: u32, name: &str) -> StepName {
    StepName { index, name: name.into() }
}

fn plan() -> Event {
    Event::Plan {
        package: "hello-1.0-r0".into(),
        arch: "x86_64".into(),
        runner: RunnerKind::Qemu,
        steps: 2,
        image: "debian:bookworm".into(),
        cache_dir: Some("/cache".into()),
    }
}

fn output(index: u32, name: &str, text: &str) -> Event {
    Event::Output { step: step(index, name), stream: Stream::Stdout, data: Data::Text(text.into()) }
}

fn ended(index: u32, name: &str, status: Status, millis: u64) -> Event {
    Event::StepFinished { step: step(index, name), status, duration: Duration::from_millis(millis) }
}

fn phase(name: &str, millis: u64) -> Phase {
    Phase { name: name.into(), duration: Duration::from_millis(millis) }
}

fn begun() -> Vec<Event> {
    vec![
        plan(),
        Event::Accelerator { accelerator: Accelerator::Tcg, why: Some("/dev/kvm is missing".into()) },
        Event::Image { image: "debian:bookworm".into(), state: ImageState::Making },
        Event::Image { image: "debian:bookworm".into(), state: ImageState::Made },
        Event::Boot { phases: vec![phase("kernel", 900), phase("mounts", 20)] },
        Event::StepStarted { step: step(0, "configure") },
        output(0, "configure", "checking for g"),
        output(0, "configure", "cc... yes\n\u{1b}[2J\u{1b}[31mred\u{1b}[m\n10%\r100%\n"),
        Event::Output {
            step: step(0, "configure"),
            stream: Stream::Stderr,
            data: Data::Bytes(b"caf\xe9".to_vec()),
        },
        ended(0, "configure", Status::Code(0), 2340),
        Event::StepStarted { step: step(1, "make") },
        output(1, "make", "cc hello.c\n"),
    ]
}

fn succeeded() -> Vec<Event> {
    let directory = |name: &str, before: u64, new: u64, reused: u64| CacheDirectory {
        name: name.into(),
        before: Some(Amount { entries: 1, bytes: before << 20 }),
        new: Some(Amount { entries: u64::from(new > 0), bytes: new << 20 }),
        besides: None,
        reused: Some(Amount { entries: 1, bytes: reused << 20 }),
    };
    let directories =
        vec![directory("gomodcache", 400, 8, 40), directory("npm", 0, 0, 0), directory("pip", 12, 30, 2)];
    let mut events = begun();
    events.extend([
        ended(1, "make", Status::Code(0), 65_000),
        Event::Cache(CacheReport {
            mode: Some(CacheMode::Commit),
            persisted: true,
            why: CacheFate::Merged,
            waiting: 0,
            exact: true,
            reused_why: None,
            left_out: None,
            discarded: None,
            discarded_why: None,
            directories,
        }),
        Event::Artifact {
            package: "hello".into(),
            path: PathBuf::from("packages/x86_64/hello-1.0-r0.apk"),
            bytes: 12_595,
            entries: 14,
        },
        Event::Finished {
            outcome: Outcome::Success,
            exit_code: 0,
            duration: Duration::from_millis(70_500),
            phases: vec![phase("boot", 1600), phase("steps", 67_340)],
            logs: Some("/logs/x".into()),
            error: None,
            way_out: None,
            faults: Vec::new(),
        },
    ]);
    events
}

fn failed() -> Vec<Event> {
    let mut events = begun();
    events.extend([
        output(1, "make", &(1..=25).map(|n| format!("line {n}\n")).collect::<String>()),
        output(1, "make", "make: *** [all] Error 2"),
        ended(1, "make", Status::Code(2), 350),
        Event::Cache(CacheReport {
            mode: Some(CacheMode::Commit),
            persisted: false,
            why: CacheFate::BuildFailed,
            waiting: 0,
            exact: true,
            reused_why: None,
            left_out: None,
            discarded: None,
            discarded_why: None,
            directories: Vec::new(),
        }),
        Event::Finished {
            outcome: Outcome::Failed,
            exit_code: 5,
            duration: Duration::from_millis(4_500),
            phases: Vec::new(),
            logs: None,
            error: Some("step 2 (make): exit status 2".into()),
            way_out: Some("a shell there: kiln build -i hello.yaml".into()),
            faults: Vec::new(),
        },
    ]);
    events
}

const BEGUN: &str = "\
hello-1.0-r0 for x86_64: 2 steps in qemu, root debian:bookworm, cache /cache
accelerator: tcg (/dev/kvm is missing)
image debian:bookworm is being made; this takes minutes, once
image debian:bookworm has been made
the guest is ready: kernel 900ms, mounts 20ms
[1/2 configure] started
[1/2 configure] checking for gcc... yes
[1/2 configure] red
[1/2 configure] 100%
[1/2 configure] caf\u{fffd}
[1/2 configure] done in 2.3s
[2/2 make] started
[2/2 make] cc hello.c
";

#[test]
fn plain_shows_a_success_line_by_line() {
    let text = Stage::new(Progress::Auto, None).all(succeeded());
    let end = "\
[2/2 make] done in 1m05s
hello-1.0-r0: success in 1m10s
  time: boot 1.6s, steps 1m07s
  slowest steps: make 1m05s, configure 2.3s
  packages/x86_64/hello-1.0-r0.apk (12.2 KiB, 14 entries)
  cache (commit): held 412 MiB, used 42.0 MiB, new 38.0 MiB (pip 30.0 MiB, gomodcache 8.0 MiB), kept
  logs: /logs/x
";
    assert_eq!(text, format!("{BEGUN}{end}"));
}

#[test]
fn new_files_that_were_not_counted_are_not_called_nothing() {
    let mut events = succeeded();
    for event in &mut events {
        if let Event::Cache(report) = event {
            report.directories.iter_mut().for_each(|directory| directory.new = None);
        }
    }
    let text = Stage::new(Progress::Auto, None).all(events);
    let line = "cache (commit): held 412 MiB, used 42.0 MiB, what is new was not counted, kept\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn discarded_writes_are_shown_with_the_way_to_keep_them() {
    let amount = |entries, bytes| Some(Amount { entries, bytes });
    for (new, why, expected) in [
        (
            amount(3, 2 << 20),
            None,
            "thrown away 6.0 MiB (gomodcache 2.0 MiB, npm 2.0 MiB, pip 2.0 MiB): by 9p writes are discarded; ",
        ),
        (
            amount(3, 2 << 20),
            Some(DiscardGap::TooMuch),
            "thrown away at least 6.0 MiB (gomodcache 2.0 MiB, npm 2.0 MiB, pip 2.0 MiB): by 9p ",
        ),
        (amount(0, 0), None, "used 42.0 MiB, nothing new\n"),
        (
            None,
            Some(DiscardGap::NotCounted),
            "what is new was not counted, not kept: by 9p writes are discarded; ",
        ),
    ] {
        let mut events = succeeded();
        for event in &mut events {
            if let Event::Cache(report) = event {
                report.mode = Some(CacheMode::Discard);
                report.persisted = false;
                report.why = CacheFate::DiscardedBy9p;
                report.directories.iter_mut().for_each(|directory| directory.new = new);
                report.discarded = new.map(|new| new.plus(new));
                report.discarded_why = why;
            }
        }
        let text = Stage::new(Progress::Auto, None).all(events);
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn growth_that_is_not_new_is_shown_beside_it() {
    for (new, expected) in [
        (
            1,
            "new 2.0 KiB (files at its top 1.0 KiB, npm 1.0 KiB), besides 6.0 KiB that tools make again, kept\n",
        ),
        (0, "nothing new, besides 6.0 KiB that tools make again, kept\n"),
    ] {
        let mut events = succeeded();
        for event in &mut events {
            if let Event::Cache(report) = event {
                report.directories.truncate(2);
                for (directory, name) in report.directories.iter_mut().zip([".", "npm"]) {
                    directory.name = name.into();
                    directory.new = Some(Amount { entries: new, bytes: new << 10 });
                    directory.besides = Some(Amount { entries: 2, bytes: 3 << 10 });
                }
            }
        }
        let text = Stage::new(Progress::Auto, None).all(events);
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn writes_that_wait_for_other_builds_are_not_just_called_kept() {
    let mut events = succeeded();
    for event in &mut events {
        if let Event::Cache(report) = event {
            report.waiting = 1;
            report.why = CacheFate::Waiting(1);
        }
    }
    let text = Stage::new(Progress::Auto, None).all(events);
    assert!(text.contains(", kept, but one replacement or deletion waits until "), "{text}");
}

#[test]
fn plain_shows_a_failure_with_the_last_lines_and_the_way_out() {
    let text = Stage::new(Progress::Plain, Some((true, true))).all(failed());
    let lines =
        |from: u32, prefix: &str| (from..=25).map(|n| format!("{prefix}line {n}\n")).collect::<String>();
    let end = format!(
        "{}\
[2/2 make] make: *** [all] Error 2
[2/2 make] exit status 2 after 350ms
hello-1.0-r0: failed after 4.5s (exit code 5)
  slowest steps: configure 2.3s, make 350ms
  cache (commit): held 0 B, what is new was not counted, not kept: the build did not succeed
the last lines of its output (20):
{}  | make: *** [all] Error 2
error: step 2 (make): exit status 2
way out: a shell there: kiln build -i hello.yaml
",
        lines(1, "[2/2 make] "),
        lines(7, "  | ")
    );
    assert_eq!(text, format!("{BEGUN}{end}"));
}

#[test]
fn a_build_without_a_cache_has_a_short_cache_line() {
    let mut events = succeeded();
    for event in &mut events {
        if let Event::Cache(report) = event {
            (report.mode, report.persisted) = (None, false);
            report.why = CacheFate::NoCache;
            report.directories.clear();
        }
    }
    let text = Stage::new(Progress::Auto, None).all(events);
    assert!(text.contains("\n  cache: none (there is no cache directory)\n"), "{text}");
}

#[test]
fn quiet_shows_the_result_only() {
    let mut stage = Stage::new(Progress::Quiet, None);
    assert_eq!(stage.all(succeeded()), "hello-1.0-r0: success in 1m10s\n");
    let text = Stage::new(Progress::Quiet, None).all(failed());
    assert!(text.starts_with("hello-1.0-r0: failed after 4.5s (exit code 5)\n"), "{text}");
    assert!(text.contains("error: step 2 (make): exit status 2\n"), "{text}");
    assert!(text.contains("  | make: *** [all] Error 2\n"), "nothing was shown before: {text}");
}

#[test]
fn a_warning_is_above_the_live_display_and_not_in_a_quiet_one() {
    let warning = || Event::Warning { kind: WarningKind::ProcessStays, text: "one\ntwo".into() };
    let mut live = Stage::new(Progress::Tty, Some((false, true)));
    live.emit(0, Event::StepStarted { step: step(0, "make") });
    assert_eq!(live.emit(1000, warning()), "\r\u{1b}[Jwarning: one\ntwo\n⠼ 1.0s 1 make");
    assert_eq!(Stage::new(Progress::Plain, None).emit(0, warning()), "warning: one\ntwo\n");
    assert_eq!(Stage::new(Progress::Quiet, None).emit(0, warning()), "");
}

#[test]
fn json_is_an_object_per_line_on_stdout_with_its_time() {
    let mut stage = Stage::new(Progress::Json, Some((true, true)));
    assert_eq!(stage.all(succeeded()), "", "nothing on stderr");
    let text = stage.stdout.take();
    assert_eq!(text.lines().count(), succeeded().len());
    let line = |number: usize| text.lines().nth(number).expect("there are as many");
    assert_eq!(
        line(8),
        r#"{"event":"output","step":{"index":0,"name":"configure"},"stream":"stderr","base64":"Y2Fm6Q==","time_ms":1500.0}"#
    );
    assert_eq!(
        line(9),
        r#"{"event":"step_finished","step":{"index":0,"name":"configure"},"status":{"code":0},"duration_ms":2340.0,"time_ms":1500.0}"#
    );
    for line in text.lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(object["event"].is_string() && object["time_ms"] == 1500.0, "{line}");
    }
}

#[test]
fn an_event_with_a_path_that_is_not_utf_8_is_written() {
    use std::os::unix::ffi::OsStringExt;
    let path = PathBuf::from(std::ffi::OsString::from_vec(b"/a\xff".to_vec()));
    let mut stage = Stage::new(Progress::Json, None);
    stage.emit(0, Event::Artifact { package: "p".into(), path, bytes: 0, entries: 0 });
    assert!(stage.stdout.take().contains("\"path\":\"/a\u{fffd}\""));
}

#[test]
fn tty_draws_the_activity_below_the_messages() {
    let mut stage = Stage::new(Progress::Auto, Some((true, true)));
    let clipped = "hello-1.0-r0 for x86_64: 2 steps in qemu, root debian:bookworm, cache /cache\n";
    assert_eq!(
        stage.emit(0, plan()),
        format!("{clipped}⠋ 0ms preparing\n\u{1b}[2m  0ms hello-1.0-r0, qemu\u{1b}[0m")
    );
    let started = stage.emit(100, Event::StepStarted { step: step(0, "make") });
    let erase = "\r\u{1b}[1A\u{1b}[J";
    let heading = |time| format!("\n\u{1b}[2m  {time} hello-1.0-r0, qemu\u{1b}[0m");
    assert_eq!(started, format!("{erase}\u{1b}[1m[1/2 make]\u{1b}[0m\n⠹ 0ms 1/2 make{}", heading("100ms")));
    assert_eq!(stage.tick(2500), format!("{erase}⠹ 2.4s 1/2 make{}", heading("2.5s")));
    assert_eq!(stage.emit(2500, output(0, "make", "half a li")), "", "a line is shown when it is whole");
    let line = stage.emit(2600, output(0, "make", "ne\u{1b}[31m red\u{1b}[5A\n"));
    assert_eq!(
        line,
        format!("{erase}half a line\u{1b}[31m red\u{1b}[0m\n⠼ 2.5s 1/2 make{}", heading("2.6s"))
    );
    let end = stage.emit(2700, ended(0, "make", Status::Code(0), 2600));
    assert!(end.starts_with(&format!("{erase}\u{1b}[32m✓\u{1b}[0m [1/2 make] done, 2.6s\n")), "{end:?}");
}

#[test]
fn tty_leaves_nothing_at_the_bottom_at_the_end() {
    let mut stage = Stage::new(Progress::Tty, Some((false, false)));
    let text = stage.all(failed());
    assert!(text.ends_with("way out: a shell there: kiln build -i hello.yaml\n"), "{text:?}");
    assert!(text.contains("FAILED [2/2 make] exit status 2, 350ms\n"), "{text:?}");
    assert_eq!(text.matches("line 25\n").count(), 1, "what was shown is not quoted: {text:?}");
    assert_eq!(text.matches("Error 2\n").count(), 1, "nor what the step's end made a line of: {text:?}");
    assert!(!text.contains("the last lines of its output"), "{text:?}");
    assert!(text.is_ascii(), "a locale that is not UTF-8: {text:?}");
    assert!(!text.contains("\u{1b}[0m") && !text.contains("[31m"), "no colours: {text:?}");
    assert_eq!(stage.tick(9000), "");
}

#[test]
fn tty_shows_an_activity_soon_and_removes_it() {
    let mut stage = Stage::new(Progress::Tty, Some((false, true)));
    assert_eq!(stage.tick(200), "", "what is over at once is not drawn");
    assert_eq!(stage.tick(300), "⠧ 300ms looking at this host");
    let image = |state| Event::Image { image: "/root".into(), state };
    let making = stage.emit(1000, image(ImageState::Making));
    let line = "image /root is being made; this takes minutes, once\n";
    assert_eq!(making, format!("\r\u{1b}[J{line}⠼ 0ms making the image"));
    assert_eq!(stage.emit(1100, image(ImageState::Made)).lines().count(), 2);
    stage.reporter.end();
    assert_eq!(stage.stderr.take(), "\r\u{1b}[J");
    assert_eq!(stage.tick(9000), "");
}

#[test]
fn short_work_is_not_drawn() {
    let image = || Event::Image { image: "/root".into(), state: ImageState::Present };
    let note = || Event::Note { text: "a shell in /root".into() };
    let mut quick = Stage::new(Progress::Wait, Some((false, true)));
    assert_eq!(quick.tick(100) + &quick.emit(110, image()) + &quick.tick(200), "");
    assert_eq!(quick.emit(250, note()), "a shell in /root\n");
    quick.reporter.end();
    assert_eq!(quick.tick(9000), "", "the terminal is the shell's");
    let mut slow = Stage::new(Progress::Wait, Some((false, true)));
    slow.emit(110, image());
    assert_eq!(slow.tick(310), "⠧ 200ms starting the guest");
    assert_eq!(slow.emit(400, note()), "\r\u{1b}[Ja shell in /root\n⠋ 290ms starting the guest");
    slow.reporter.end();
    assert_eq!(slow.stderr.take(), "\r\u{1b}[J");
    assert_eq!(slow.tick(9000), "");
    // One that was never begun does not begin in a shell.
    let mut ended = Stage::new(Progress::Wait, Some((false, true)));
    ended.reporter.end();
    assert_eq!(ended.tick(9000), "");
    let mut piped = Stage::new(Progress::Wait, None);
    assert_eq!(
        piped.emit(400, image()) + &piped.tick(9000) + &piped.emit(9000, note()),
        "a shell in /root\n"
    );
}

#[test]
fn tty_removes_wrapped_lines_after_the_terminal_became_narrower() {
    let mut stage = Stage::new(Progress::Tty, Some((false, true)));
    stage.emit(0, plan());
    stage.emit(0, Event::StepStarted { step: step(0, &"n".repeat(100)) });
    stage.columns.store(15, Ordering::Relaxed);
    // 39 columns are three rows of 15, 24 are two.
    assert_eq!(stage.tick(0), "\r\u{1b}[4A\u{1b}[J⠋ 0ms 1/2 nnnn\n  0ms hello-1.");
    stage.columns.store(0, Ordering::Relaxed);
    stage.tick(0);
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_build() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let streams = OutputStreams {
        stdout: Box::new(Closed),
        stderr: Box::new(Closed),
        terminal: None,
        clock: Box::new(|| Duration::ZERO),
    };
    let mut seen = 0;
    let mut tee = Tee(Reporter::new(Progress::Plain, streams), |_: Event| seen += 1);
    succeeded().into_iter().for_each(|event| tee.emit(event));
    assert_eq!(seen, succeeded().len());
}
