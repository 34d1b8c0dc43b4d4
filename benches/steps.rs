//! The cost of a step: 100 steps of a build, against 100 scripts that one shell runs one after the other in the same guest.
//!
//! `cargo bench --bench steps -- --runs 5`

mod measure;

use std::{
    fmt::Write,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use measure::{Series, report, runs};

const STEPS: usize = 100;

/// One build has both, so that both see the same guest on the same machine at the same time.
fn build_file() -> String {
    let mut text = "package:\n  name: steps\n  version: \"1\"\n  epoch: 0\npipeline:\n".to_owned();
    for _ in 0..STEPS {
        text.push_str("  - runs: \"true\"\n");
    }
    let script = "set -eo pipefail\ncd /home/build\ntrue\nexit 0\n";
    write!(
        text,
        "  - name: one shell\n    runs: |\n      script='{}'\n      for n in $(seq {STEPS}); do /bin/bash -c \"$script\"; done\n",
        script.trim_end().replace('\n', "\n      ")
    )
    .expect("writing to a string");
    text
}

/// The seconds of the steps and of the shell in one build.
fn measure_once(directory: &Path) -> (f64, f64) {
    let output = Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args(["build", "--accel", "tcg", "--progress", "json", "--cache-dir", "", "--network", "off"])
        .arg("--out-dir")
        .arg(directory.join("packages"))
        .arg(directory.join("steps.yaml"))
        .stdin(Stdio::null())
        .output()
        .expect("kiln can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let events: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .expect("events are UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("events are JSON"))
        .collect();
    let time = |event: &str, index: usize| {
        let found = events.iter().find(|e| e["event"] == event && e["step"]["index"] == index);
        found.and_then(|e| e["time_ms"].as_f64()).expect("each step has its events") / 1e3
    };
    let steps = time("step_finished", STEPS - 1) - time("step_started", 0);
    (steps, time("step_finished", STEPS) - time("step_started", STEPS))
}

fn main() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    fs::write(directory.path().join("steps.yaml"), build_file()).expect("the build file can be written");
    let (mut shell, mut steps) = (Series::new("100 scripts by one shell"), Series::new("100 steps"));
    for round in 0..=runs(5) {
        let (of_steps, of_shell) = measure_once(directory.path());
        if round > 0 {
            shell.seconds.push(of_shell);
            steps.seconds.push(of_steps);
        }
    }
    report("steps", &[shell, steps]);
}
