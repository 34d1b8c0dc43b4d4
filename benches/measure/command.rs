//! Whole commands: run to their end, and timed.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

/// Runs a command to its end; what it printed.
///
/// # Panics
/// When it fails: a sample that failed measures nothing.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the command can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed ({}):\n{}\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Runs a command to its end; how long it took, in seconds.
///
/// # Panics
/// As [`run`].
pub(crate) fn sample(command: &mut Command) -> f64 {
    let started = Instant::now();
    run(command);
    started.elapsed().as_secs_f64()
}
