//! The kiln that cargo has built for benchmarks, which has the harness.

use std::{
    env,
    path::Path,
    process::{Command, ExitCode},
};

/// Runs `kiln bench` with these arguments and those after `--` of the command line. The results are in `target/bench/NAME`,
/// unless `--out-dir` names another directory.
///
/// # Panics
/// When kiln cannot be started.
pub(crate) fn run(arguments: &[&str]) -> ExitCode {
    let kiln = Path::new(env!("CARGO_BIN_EXE_kiln"));
    // cargo adds `--bench` for the harness of the standard library.
    let given: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let mut command = Command::new(kiln);
    command.arg("bench").args(arguments);
    let names_directory = |argument: &str| argument.starts_with("--out-dir");
    if !given.iter().any(|argument| names_directory(argument))
        && !arguments.iter().copied().any(names_directory)
    {
        let target = kiln.ancestors().nth(2).expect("target/<profile>/kiln");
        command.arg("--out-dir").arg(target.join("bench").join(env!("CARGO_CRATE_NAME")));
    }
    let status = command.args(given).status().expect("kiln can be started");
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
