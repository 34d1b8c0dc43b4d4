//! The kiln of one job: its start, its output, its result, its end.

use std::{
    ffi::OsString,
    io::{PipeReader, Read, pipe},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::net::unix::pipe::Receiver;

use super::{
    output::{Output, Tail},
    result::{JobResult, RESULT_FD, RESULT_LIMIT},
};
use crate::{
    engine::Interrupts,
    exit::{Code, code_of},
    jobs::Job,
    process::{Command, ExitStatus, Spawner, Stdio},
};

/// How long a job may take to end after a signal: longer than its own guest may take.
const GRACE: Duration = Duration::from_secs(60);

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
    /// To this kiln, which shows it when the job ends.
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
    /// The exit code of kiln's own signal, if there was one meanwhile.
    pub(super) interrupted: Option<Code>,
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
    let (program, mut output) = program(spawner, command, display, writer.into())?;
    let mut child = spawner.spawn(program)?;
    if let Some(events) = child.take_stdout() {
        output = Output::events(events);
    }
    let name = &command.job.name;
    let ended = tokio::select! {
        biased;
        status = output.during(child.wait(), name) => Ok(status?),
        signal = interrupts.refuse() => Err(code_of(&signal)),
    };
    let (status, interrupted) = match ended {
        Ok(status) => (status, None),
        Err(code) => (output.during(child.stop(GRACE), name).await?, Some(code)),
    };
    output.show();
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

/// The command, and what is known of its output before it is started.
fn program(
    spawner: &Spawner,
    command: &JobCommand,
    display: Display,
    result: OwnedFd,
) -> Result<(Command, Output)> {
    let program = Command::new(spawner.program()).args(&command.arguments).fd(result, RESULT_FD);
    Ok(match display {
        Display::Direct => (program.stdout(Stdio::Inherit).stderr(Stdio::Inherit), Output::Direct),
        Display::Events => (program.stdout(Stdio::Piped).stderr(Stdio::Inherit), Output::Direct),
        Display::Collected => {
            let (reader, writer) = pipe().context("make a pipe for the output of a job")?;
            let reader = Receiver::from_owned_fd(reader.into()).context("read the output of a job")?;
            let copy = writer.try_clone().context("copy a descriptor")?;
            let program = program.stdout(Stdio::File(writer.into())).stderr(Stdio::File(copy.into()));
            (program, Output::Collected(reader, Tail::default()))
        }
    })
}

/// The result that the job has written; an empty one if it was killed before.
fn read_result(pipe: PipeReader) -> JobResult {
    let mut text = String::new();
    // All writers have ended, so this does not wait.
    let read = pipe.take(RESULT_LIMIT).read_to_string(&mut text);
    read.ok().and_then(|_| serde_json::from_str(&text).ok()).unwrap_or_default()
}
