//! SIGINT, SIGTERM or SIGKILL for a kiln that builds in a sandbox, at any moment: nothing is left.

use std::{
    fs,
    path::PathBuf,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use kiln::host::cgroup::{Cgroups, Parent};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{leftovers::Leftovers, place::Place, process_tree, sampling::Sampler};

/// How many are killed in the soak, a third by each signal.
const ALL: usize = 51;
/// How many are killed otherwise.
const FEW: usize = 9;
/// How long what was in the sandbox may take to go.
const DEATH: Duration = Duration::from_secs(20);

/// Reads and writes everything there is, and has something running in the background, out of its session.
const BUILD: &str = "\
package:
  name: sample
  version: \"1.10\"
  epoch: 3
pipeline:
  - runs: |
      setsid sleep 1000 &
      for n in $(seq 20); do cat input > /var/cache/melange/$n; cp input work-$n; done
  - runs: |
      mkdir -p ${{targets.destdir}}/usr
      head -c 3000000 /dev/urandom > ${{targets.destdir}}/usr/data
";

#[test]
fn whatever_kiln_gets_no_sandbox_is_left() {
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL];
    let cases = (0..ALL).map(|n| signals[n % signals.len()]).collect();
    let (mut sampler, cases) = Sampler::of("sandboxes", cases, FEW);
    if std::process::Command::new("bwrap").arg("--version").stdout(Stdio::null()).status().is_err() {
        assert!(std::env::var_os("KILN_REQUIRE_ALL").is_none_or(|all| all != "1"), "bwrap is not installed");
        return sampler.say("SKIP: bwrap is not installed");
    }
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

fn undisturbed(sampler: &Sampler) -> Duration {
    let place = place();
    let started = Instant::now();
    let output = kiln(&place).stderr(Stdio::piped()).output().unwrap();
    let whole = started.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let left = Leftovers::count(&place, Vec::new());
    assert!(left.none() && inside(&place).is_empty(), "after a build without a kill: {left}");
    sampler.say(&format!("a build takes {whole:.1?} without a kill"));
    whole
}

fn place() -> Place {
    let place = Place::new();
    fs::write(place.project().join("file.yaml"), BUILD).unwrap();
    fs::write(place.project().join("input"), vec![b'x'; 10_000]).unwrap();
    place
}

fn kiln(place: &Place) -> std::process::Command {
    let mut kiln = place.kiln();
    kiln.args([
        "build",
        "--runner",
        "bubblewrap",
        "--progress",
        "quiet",
        "--cache-dir",
        "cache",
        "file.yaml",
    ]);
    kiln.stdout(Stdio::null()).stderr(Stdio::null());
    kiln
}

/// A line about the signal and the end of kiln; `None` where kiln had ended before.
fn run(signal: Signal, sampler: &mut Sampler, whole: Duration) -> Option<String> {
    let place = place();
    let mut child = kiln(&place).spawn().unwrap();
    let moment = sampler.moment(Duration::ZERO..whole);
    thread::sleep(moment);
    let known = process_tree::members(&place);
    let within = inside(&place).len();
    if child.try_wait().unwrap().is_some() {
        return None;
    }
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
    let end = child.wait().unwrap();
    let told = match signal {
        Signal::SIGINT => end.code() == Some(130) || end.to_string().contains("SIGINT"),
        Signal::SIGTERM => end.code() == Some(143) || end.to_string().contains("SIGTERM"),
        _ => end.code().is_none(),
    };
    let done = format!("{signal} after {moment:.2?}, {within} processes inside; kiln: {end}");
    // A signal after the end of the work has no effect.
    assert!(told || end.success(), "{done}");
    let left = Leftovers::count(&place, known);
    assert!(left.none(), "{done}; left: {left}");
    let deadline = Instant::now() + DEATH;
    for pid in inside(&place) {
        let gone = process_tree::pidfd(pid).map_or(true, |pidfd| process_tree::ended(&pidfd, deadline));
        assert!(gone, "{done}; process {pid} is left in the sandbox");
    }
    assert_eq!(groups_of(child.id()), Vec::<PathBuf>::new(), "{done}; control groups are left");
    Some(done)
}

/// The control groups of a kiln's sandboxes.
fn groups_of(kiln: u32) -> Vec<PathBuf> {
    let Cgroups { memory, cpu } = Cgroups::find();
    let parents = [memory, cpu].into_iter().flatten();
    let groups = parents.flat_map(|Parent { path, .. }| fs::read_dir(path).unwrap());
    let of_kiln = format!("kiln-{kiln}-");
    groups
        .map(|group| group.unwrap().path())
        .filter(|group| group.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&of_kiln)))
        .collect()
}

/// The processes of a sandbox that has something of the place mounted: their environment and arguments do not name it.
fn inside(place: &Place) -> Vec<i32> {
    let root = place.root().to_string_lossy().into_owned();
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let has_mounts = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/mountinfo")).is_ok_and(|mounts| mounts.contains(&root))
    };
    pids.filter(has_mounts).collect()
}
