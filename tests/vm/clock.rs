//! The guest's clock: a step sees the host's time from its start to its end, also if the guest's processors get little time.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{build_command, project};

/// The error that is allowed: seconds.
const TOLERATED: f64 = 0.2;

/// Prints the time, works for seconds with more processes than processors, and prints the time again.
const STEP: &str = "date +time=%s.%N
for worker in 1 2 3 4; do perl -e '$sum += $_ for 1..6000000' & done
wait
date +time=%s.%N";

#[test]
fn a_step_has_the_time_of_the_host() {
    let directory = project("root", &[STEP, STEP]);
    let mut build =
        build_command(directory.path(), "cache", "json").stdout(Stdio::piped()).spawn().expect("started");
    let events = BufReader::new(build.stdout.take().expect("it is piped"));
    let (mut started, mut seen, mut steps) = (0.0, Vec::new(), 0);
    for line in events.lines() {
        let now = seconds(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970"));
        let event: serde_json::Value = serde_json::from_str(&line.expect("a line")).expect("an event");
        match event["event"].as_str().expect("it has a name") {
            "step_started" => started = now,
            "output" => {
                let text = event["text"].as_str().expect("it has a text");
                seen.extend(text.lines().filter_map(|line| line.strip_prefix("time=")?.parse::<f64>().ok()));
            }
            "step_finished" => {
                let allowed = started - TOLERATED..now + TOLERATED;
                assert_eq!(seen.len(), 2, "{seen:?}");
                for time in seen.drain(..) {
                    assert!(allowed.contains(&time), "{time} is not in {allowed:?}");
                }
                steps += 1;
            }
            _ => {}
        }
    }
    assert!(build.wait().expect("it ends").success());
    assert_eq!(steps, 2);
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
