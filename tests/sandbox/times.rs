//! The phases of a build: every second is in one, however the build ends, and all reports agree.

use std::{fs, path::Path, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::{build_saying, command, has_bwrap, project};

/// The events of `--progress json`.
fn events(stdout: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stdout).expect("JSON is UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

fn one<'e>(events: &'e [Value], name: &str) -> &'e Value {
    events.iter().find(|event| event["event"] == name).unwrap_or_else(|| panic!("no {name} in {events:?}"))
}

fn millis(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

/// Whether the phases are the whole, and all that steps took is in theirs.
fn check(events: &[Value]) {
    let finished = one(events, "finished");
    let phases = finished["phases"].as_array().expect("a list");
    let sum: f64 = phases.iter().map(|phase| millis(&phase["duration_ms"])).sum();
    let whole = millis(&finished["duration_ms"]);
    // Each number is rounded to a microsecond.
    assert!((sum - whole).abs() < 0.1, "{sum} of {whole}: {finished}");
    let phase = |name: &str| phases.iter().find(|phase| phase["name"] == name);
    let steps = phase("steps").map_or(0.0, |phase| millis(&phase["duration_ms"]));
    let ended = events.iter().filter(|event| event["event"] == "step_finished");
    let ended: Vec<f64> = ended.map(|event| millis(&event["duration_ms"])).collect();
    assert!(ended.iter().sum::<f64>() <= steps + 0.1, "{ended:?} of {steps}");
    assert!(ended.iter().all(|&step| step >= 1000.0), "a step that slept for a second: {ended:?}");
    let logs = finished["logs"].as_str().expect("it has logs");
    let kept = fs::read(Path::new(logs).join("events.jsonl")).expect("it was written");
    let shown: Vec<&Value> = events.iter().filter(|event| event["event"] != "output").collect();
    let kept = self::events(&kept);
    // The last event names the logs, so they are open until it was written to them.
    assert_eq!(kept.iter().collect::<Vec<_>>(), shown);
}

#[test]
fn every_second_of_a_build_is_in_a_phase_however_it_ends() {
    if !has_bwrap() {
        return;
    }
    for (steps, arguments, code) in [
        (&["sleep 1", "sleep 1.1"][..], &[][..], 0),
        (&["sleep 1", "sleep 1; false"], &[], 5),
        (&["sleep 1000"], &["--step-timeout", "1100ms"], 6),
    ] {
        let (_directory, project) = project();
        let output = build_saying("json", &project, "root", steps, arguments);
        assert_eq!(output.status.code(), Some(code), "{steps:?}");
        check(&events(&output.stdout));
    }
}

#[test]
fn an_interrupted_step_has_its_time() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let mut command = command(&project, "root", &["touch /var/cache/melange/begun; sleep 1000"], &[]);
    command.args(["--progress", "json"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let kiln = command.spawn().expect("kiln can be started");
    while !project.join("cache/begun").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_secs(1));
    kill(Pid::from_raw(kiln.id().cast_signed()), Signal::SIGTERM).expect("it is there");
    let output = kiln.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(143));
    check(&events(&output.stdout));
}
