//! Programs that are run to their end and timed, and the directory in which they work.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    exit::Failure,
    host::VERSION_LIMIT,
    process::{Command, Spawner},
};

/// The limit for a program: none of a benchmark takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// What a program took and printed.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// From its start to its end, by the host's monotonic clock.
    pub seconds: f64,
    /// Its standard output.
    pub stdout: String,
}

/// Runs a program to its end. Its standard input is empty.
///
/// # Errors
/// When it cannot be started; a host failure with the end of its standard error when it fails, since a sample that failed measures
/// nothing.
pub async fn timed(spawner: &Spawner, command: Command) -> Result<Timed> {
    let name = command.program_name();
    let started = Instant::now();
    let output = spawner.output(command, LIMIT).await?;
    let seconds = started.elapsed().as_secs_f64();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        let said = match text(&output.stderr) {
            stderr if stderr.is_empty() => text(&output.stdout),
            stderr => stderr,
        };
        let what = format!("{name} ended with {}: {said}", output.status);
        return Err(Failure::host(
            what,
            "a sample that fails measures nothing: repair this, and run the benchmark again",
        )
        .into());
    }
    Ok(Timed { seconds, stdout: text(&output.stdout) })
}

/// The version that a program prints: the first word of its output that begins with a digit; `unknown` without one.
pub async fn version(spawner: &Spawner, program: impl Into<PathBuf>) -> String {
    let command = Command::new(program.into()).arg("--version");
    let output = spawner.output(command, VERSION_LIMIT).await;
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    number.map_or("unknown", |number| number.trim_end_matches([',', ';'])).to_owned()
}

/// A directory for the files of a benchmark, beside its results, so that both lie on the file system of the fingerprint. It is removed
/// when it is dropped, and by the reaper should kiln be killed.
#[derive(Debug)]
pub struct Scratch {
    directory: tempfile::TempDir,
}

impl Scratch {
    /// Makes one below a directory.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(below: &Path, spawner: &Spawner) -> Result<Self> {
        let made = tempfile::Builder::new().prefix(".scratch-").tempdir_in(below);
        let directory = made.with_context(|| format!("make a directory in {}", below.display()))?;
        // An absolute path: the reaper has another working directory. It is never taken back, since a program that is killed may
        // write for a moment longer.
        let path = std::path::absolute(directory.path()).context("find the working directory")?;
        let _removal = spawner.remove_at_end(&path);
        Ok(Self { directory })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}
