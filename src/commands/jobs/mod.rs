//! Several builds or tests: each is a kiln of its own, so that it has its own lease, run directory and reaper.
//!
//! One at a time has the terminal as if it were alone. Of several at once the output is shown when the job ends. With
//! `--progress json` each line of a job goes to stdout at once, with the job's name in it.

mod child;
mod output;
mod result;

use std::{
    ffi::{OsStr, OsString},
    future::{Future, poll_fn},
    num::NonZeroUsize,
    pin::Pin,
    task::Poll,
    time::Duration,
};

use anyhow::Result;

pub(super) use child::JobCommand;
pub(super) use result::report as report_result;

use self::child::{Display, Ended, run_child};
use crate::{
    engine::Interrupts,
    jobs::{Job, JobOutcome, Report, Schedule, State},
    process::Spawner,
    report::{self, Progress},
};

/// How jobs are run and shown.
pub(super) struct Jobs<'a> {
    pub(super) spawner: &'a Spawner,
    pub(super) interrupts: Interrupts,
    pub(super) at_once: NonZeroUsize,
    pub(super) progress: Progress,
}

/// Jobs that run.
type Running<'f> = Vec<(usize, Pin<Box<dyn Future<Output = Result<Ended>> + 'f>>)>;

impl Jobs<'_> {
    /// Runs all jobs that the schedule has not ended yet. `finished` is called for each one that succeeds.
    ///
    /// # Errors
    /// When a job cannot be started or `finished` fails. A failed job is no error: the report has it.
    pub(super) async fn run(
        &self,
        commands: &[JobCommand],
        mut schedule: Schedule,
        mut finished: impl FnMut(&Job) -> Result<()>,
    ) -> Result<Report> {
        let before: Vec<bool> =
            (0..commands.len()).map(|index| schedule.state(index) == State::Succeeded).collect();
        let mut ends: Vec<Option<Ended>> = commands.iter().map(|_| None).collect();
        let mut running: Running<'_> = Vec::new();
        let mut interrupted = None;
        loop {
            while interrupted.is_none()
                && running.len() < self.at_once.get()
                && let Some(index) = schedule.start()
            {
                self.announce(commands, index);
                running.push((index, Box::pin(self.child(&commands[index]))));
            }
            if running.is_empty() {
                break;
            }
            let (index, ended) = next(&mut running).await;
            let ended = ended?;
            interrupted = interrupted.or(ended.interrupted);
            schedule.end(index, ended.code == 0);
            if ended.code == 0 {
                finished(&commands[index].job)?;
            }
            ends[index] = Some(ended);
        }
        let outcome = |index: usize| outcome(&schedule, commands, index, before[index], ends[index].as_ref());
        let jobs = (0..commands.len()).map(|index| {
            let duration = ends[index].as_ref().map_or(Duration::ZERO, |ended| ended.duration);
            (commands[index].job.clone(), outcome(index), duration)
        });
        Ok(Report { jobs: jobs.collect(), interrupted })
    }

    fn announce(&self, commands: &[JobCommand], index: usize) {
        if matches!(self.progress, Progress::Json | Progress::Quiet) || commands.len() < 2 {
            return;
        }
        let Job { name, file } = &commands[index].job;
        report::to_stderr(&format!("[{}/{}] {name} ({file})", index + 1, commands.len()));
    }

    async fn child(&self, command: &JobCommand) -> Result<Ended> {
        let display = match self.progress {
            Progress::Json => Display::Events,
            _ if self.at_once.get() == 1 => Display::Direct,
            _ => Display::Collected,
        };
        run_child(self.spawner, command, display, self.interrupts.clone()).await
    }
}

/// The option that names the job of a kiln.
pub(super) fn job_option(job: &OsStr) -> OsString {
    let mut option = OsString::from("--job=");
    option.push(job);
    option
}

/// The command line of a job: this one, without the program and with more options behind the sub-command.
pub(super) fn with_options(
    arguments: &[OsString],
    command: &str,
    options: impl IntoIterator<Item = OsString>,
) -> Vec<OsString> {
    let mut line: Vec<OsString> = arguments.iter().skip(1).cloned().collect();
    let at = line.iter().position(|word| word == command).map_or(0, |at| at + 1);
    line.splice(at..at, options);
    line
}

/// Waits for the first of the jobs that ends, and takes it out.
async fn next(running: &mut Running<'_>) -> (usize, Result<Ended>) {
    poll_fn(|context| {
        let ended =
            running.iter_mut().enumerate().find_map(|(at, (_, job))| match job.as_mut().poll(context) {
                Poll::Ready(ended) => Some((at, ended)),
                Poll::Pending => None,
            });
        match ended {
            Some((at, ended)) => Poll::Ready((running.swap_remove(at).0, ended)),
            None => Poll::Pending,
        }
    })
    .await
}

fn outcome(
    schedule: &Schedule,
    commands: &[JobCommand],
    index: usize,
    before: bool,
    ended: Option<&Ended>,
) -> JobOutcome {
    match (schedule.state(index), ended) {
        (State::Succeeded, _) if before => JobOutcome::Finished,
        (State::Succeeded, _) => JobOutcome::Succeeded,
        (State::Failed, Some(Ended { interrupted: None, code, error, .. })) => {
            JobOutcome::Failed { code: *code, error: error.clone() }
        }
        (State::Skipped { because }, _) => {
            JobOutcome::Skipped { because: commands[because].job.name.clone() }
        }
        (State::Failed | State::Waiting | State::Running, _) => JobOutcome::Interrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_behind_the_sub_command() {
        let words = |line: &[&str]| line.iter().map(OsString::from).collect::<Vec<_>>();
        let line = words(&["kiln", "--log-level", "info", "test", "a.yaml", "test"]);
        assert_eq!(
            with_options(&line, "test", [job_option("a-dev".as_ref())]),
            words(&["--log-level", "info", "test", "--job=a-dev", "a.yaml", "test"])
        );
    }
}
