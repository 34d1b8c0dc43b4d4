//! The kiln of one job: its start, its output, its result, its end.

use std::{
    ffi::OsString,
    fs::File,
    io::{PipeReader, Read, Seek, SeekFrom, pipe},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::result::{JobResult, RESULT_FD, RESULT_LIMIT};
use crate::{
    engine::Interrupts,
    jobs::Job,
    process::{Child, Command, ExitStatus, Spawner, Stdio},
    report,
};

/// How long a job may take to end after a signal: longer than its own guest may take.
const GRACE: Duration = Duration::from_secs(60);
/// The most bytes of a job's output that are shown; the end is shown if there is more.
const SHOWN: u64 = 4 << 20;

/// A job and the command line of its kiln, without the program.
pub(in crate::commands) struct JobCommand {
    pub(in crate::commands) job: Job,
    pub(in crate::commands) arguments: Vec<OsString>,
}

/// Where the output of a job goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Display {
    /// To the terminal or file that kiln's own output goes to.
    Direct,
    /// To a file, until the job ends.
    Collected,
    /// Events to stdout, with the job's name.
    Events,
}

/// How a job ended.
pub(super) struct Ended {
    /// Its exit status.
    pub(super) code: u8,
    /// Its error; empty without one.
    pub(super) error: String,
    /// Whether kiln was interrupted meanwhile.
    pub(super) interrupted: bool,
    pub(super) duration: Duration,
}

/// Runs the kiln of a job to its end. A signal to this kiln ends it in order.
pub(super) async fn run_child(
    spawner: &Spawner,
    command: &JobCommand,
    display: Display,
    mut interrupts: Interrupts,
) -> Result<Ended> {
    let started = Instant::now();
    let (result, writer) = pipe().context("make a pipe")?;
    let (program, collected) = program(spawner, command, display, writer.into())?;
    let mut child = spawner.spawn(program)?;
    let events = child.take_stdout();
    let all = async {
        if let Some(events) = events {
            forward(events, &command.job.name).await?;
        }
        child.wait().await
    };
    let (status, interrupted) = tokio::select! {
        biased;
        status = all => (status?, false),
        _ = interrupts.refuse() => (stop(&mut child).await?, true),
    };
    if let Some(mut file) = collected {
        show(&mut file)?;
    }
    let said = read_result(result);
    let code = match status {
        ExitStatus::Code(code) => u8::try_from(code).unwrap_or(u8::MAX),
        ExitStatus::Signal(number) => u8::try_from(128 + number).unwrap_or(u8::MAX),
    };
    let error = match said.error {
        error if error.is_empty() && code != 0 => format!("kiln ended with {status}"),
        error => error,
    };
    Ok(Ended { code, error, interrupted, duration: started.elapsed() })
}

/// The command, and the file of its output if that is collected.
fn program(
    spawner: &Spawner,
    command: &JobCommand,
    display: Display,
    result: OwnedFd,
) -> Result<(Command, Option<File>)> {
    let program = Command::new(spawner.program()).args(&command.arguments).fd(result, RESULT_FD);
    Ok(match display {
        Display::Direct => (program.stdout(Stdio::Inherit).stderr(Stdio::Inherit), None),
        Display::Events => (program.stdout(Stdio::Piped).stderr(Stdio::Inherit), None),
        Display::Collected => {
            let file = tempfile::tempfile().context("make a file for the output of a job")?;
            let copy = || file.try_clone().map(|file| Stdio::File(file.into())).context("copy a descriptor");
            (program.stdout(copy()?).stderr(copy()?), Some(file))
        }
    })
}

async fn stop(child: &mut Child) -> Result<ExitStatus> {
    child.stop(GRACE).await
}

/// Passes on events, each with the name of its job.
async fn forward(events: impl AsyncRead + Unpin, job: &str) -> Result<()> {
    let mut lines = BufReader::new(events).lines();
    while let Some(line) = lines.next_line().await.context("read the events of a job")? {
        // A line that is no event would be a defect of kiln; it is passed on as it is.
        let line = match serde_json::from_str(&line) {
            Ok(Value::Object(mut event)) => {
                event.insert("job".into(), job.into());
                Value::Object(event).to_string()
            }
            Ok(_) | Err(_) => line,
        };
        report::print(&(line + "\n"))?;
    }
    Ok(())
}

/// Shows the collected output of a job.
fn show(file: &mut File) -> Result<()> {
    let length = file.seek(SeekFrom::End(0)).context("read the output of a job")?;
    if length > SHOWN {
        report::to_stderr(&format!("… {} bytes of output are not shown", length - SHOWN));
    }
    file.seek(SeekFrom::Start(length.saturating_sub(SHOWN))).context("read the output of a job")?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).context("read the output of a job")?;
    report::to_stderr(String::from_utf8_lossy(&bytes).trim_end_matches('\n'));
    Ok(())
}

/// The result that the job has written; an empty one if it was killed before.
fn read_result(pipe: PipeReader) -> JobResult {
    let mut text = String::new();
    // All writers have ended, so this does not wait.
    let read = pipe.take(RESULT_LIMIT).read_to_string(&mut text);
    read.ok().and_then(|_| serde_json::from_str(&text).ok()).unwrap_or_default()
}
