//! SIGINT, SIGTERM and SIGKILL for a kiln that builds in a container, at any moment: an orderly end leaves nothing, and the leftovers of a
//! SIGKILL are gone after kiln's next start.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{leftovers::Leftovers, place::Place, process_tree, sampling::Sampler};

/// How many are killed in the soak, a third by each signal.
const ALL: usize = 51;
/// How many are killed otherwise.
const FEW: usize = 6;
/// Longer than any build here takes, on a busy machine too: a kiln that still runs then hangs.
const HANG: Duration = Duration::from_secs(120);

/// Reads and writes everything there is, has something running in the background, and leaves a package.
const BUILD: &str = "\
package:
  name: sample
  version: \"1.10\"
  epoch: 3
environment:
  accounts:
    run-as: build
pipeline:
  - runs: |
      setsid sleep 1000 &
      for n in $(seq 20); do cat input > /var/cache/melange/$n; cp input work-$n; done
      sleep 0.3
  - runs: |
      mkdir -p ${{targets.destdir}}/usr
      head -c 3000000 /dev/urandom > ${{targets.destdir}}/usr/data
";

#[test]
fn a_kiln_that_is_killed_leaves_no_container() {
    let asked = Command::new("docker").arg("info").stdin(Stdio::null()).output();
    if !asked.is_ok_and(|output| output.status.success()) {
        return crate::skip::skip("no docker daemon answers");
    }
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL];
    let (mut sampler, cases) = Sampler::of("docker", (0..ALL).map(|n| signals[n % 3]).collect(), FEW);
    let whole = undisturbed(&sampler);
    for (n, signal) in cases.iter().enumerate() {
        // A build that was over before its moment came was not killed: another moment is drawn.
        let line = loop {
            if let Some(line) = run(*signal, &mut sampler, whole) {
                break line;
            }
        };
        sampler.say(&format!("{}/{}: {line}", n + 1, cases.len()));
    }
    sampler.say(&format!("{} killed, 0 leftovers", cases.len()));
}

/// How long a build takes without a kill; the first one warms what is made once.
fn undisturbed(sampler: &Sampler) -> Duration {
    let mut length = Duration::ZERO;
    for _ in 0..2 {
        let place = place();
        let started = Instant::now();
        let output = build(&place).output().unwrap();
        length = started.elapsed();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(left(&place), "");
    }
    sampler.say(&format!("a build takes {length:.1?} without a kill"));
    length
}

fn place() -> Place {
    let place = Place::new();
    fs::write(place.project().join("file.yaml"), BUILD).unwrap();
    fs::write(place.project().join("input"), vec![b'x'; 10_000]).unwrap();
    place
}

fn build(place: &Place) -> Command {
    let mut kiln = place.kiln();
    kiln.args(["build", "--runner", "docker", "--progress", "plain", "--cache-dir", "cache", "file.yaml"]);
    kiln.stdout(Stdio::null()).stderr(Stdio::piped());
    kiln
}

/// Starts a build and signals it; gives what became of it.
fn run(signal: Signal, sampler: &mut Sampler, whole: Duration) -> Option<String> {
    let place = place();
    let mut child = build(&place).spawn().unwrap();
    let moment = sampler.moment(Duration::ZERO..whole);
    thread::sleep(moment);
    let pid = child.id().cast_signed();
    let pidfd = process_tree::pidfd(pid).unwrap();
    if child.try_wait().unwrap().is_some() || kill(Pid::from_raw(pid), signal).is_err() {
        return None;
    }
    let killed = Instant::now();
    assert!(process_tree::ended(&pidfd, killed + HANG), "{signal} after {moment:.2?}: it hung for {HANG:?}");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.lines().last().unwrap_or_default().to_owned();
    let done =
        format!("{signal} after {moment:.2?}: {} after {:.2?}, {last:?}", output.status, killed.elapsed());
    match (signal, output.status.code()) {
        // A signal ends kiln at once before its handler is installed.
        (_, None) => next_start(&place),
        // A signal after the end of the work has no effect.
        (Signal::SIGINT, Some(130)) | (Signal::SIGTERM, Some(143)) | (_, Some(0)) => {}
        (_, Some(_)) => panic!("{done}\n{said}"),
    }
    assert_eq!(left(&place), "", "{done}");
    Some(done)
}

/// Another build in the same place, which sweeps.
fn next_start(place: &Place) {
    let output = build(place).output().unwrap();
    assert!(output.status.success(), "the next start: {}", String::from_utf8_lossy(&output.stderr));
}

/// The leftovers of the place in the kernel, on the disk and in docker.
fn left(place: &Place) -> String {
    let left = Leftovers::count(place, Vec::new());
    let mut text = if left.none() { String::new() } else { left.to_string() };
    let root = place.root().to_string_lossy().into_owned();
    let lists = [
        ["ps", "--all", "--format", "container {{.ID}} {{.Status}} {{.Label \"kiln.run\"}}"].as_slice(),
        ["volume", "ls", "--format", "volume {{.Name}} {{.Label \"kiln.run\"}}"].as_slice(),
    ];
    for list in lists {
        let output = Command::new("docker").args(list).args(["--filter", "label=kiln.run"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        text.extend(String::from_utf8(output.stdout).unwrap().lines().filter(|line| line.contains(&root)));
    }
    // A volume without a name that its container does not have any more has no label either: its overlay names the place.
    let output = Command::new("docker").args(["volume", "ls", "--quiet"]).output().unwrap();
    for name in String::from_utf8(output.stdout).unwrap().lines() {
        let inspected = Command::new("docker").args(["volume", "inspect", name]).output().unwrap();
        let inspected = String::from_utf8_lossy(&inspected.stdout).into_owned();
        if inspected.contains(&root) {
            text += &format!("volume {name}");
        }
    }
    text
}
