//! What became of each job, as a table for people and as JSON for programs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::exit::Code;

/// A job that is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    /// Its name: the package that is built or tested.
    pub(crate) name: String,
    /// The build file, as the command line names it.
    pub(crate) file: String,
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JobOutcome {
    /// It has succeeded.
    Succeeded,
    /// An earlier run of the same command has finished it.
    Finished,
    /// It has failed, with this exit status of kiln.
    Failed {
        /// The exit status.
        code: u8,
        /// The error; empty if the job ended without one.
        error: String,
    },
    /// It did not run, since this job has failed.
    Skipped {
        /// The failed job.
        because: String,
    },
    /// It did not run, since kiln was interrupted.
    Interrupted,
}

/// All jobs of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Each job with its outcome and duration.
    pub(crate) jobs: Vec<(Job, JobOutcome, Duration)>,
    /// The exit code of the signal that has interrupted kiln.
    pub(crate) interrupted: Option<Code>,
}

impl Report {
    /// The exit code: that of a signal, else that of the first job that failed.
    pub(crate) fn code(&self) -> Code {
        let failed = self.jobs.iter().find_map(|(_, outcome, _)| match outcome {
            JobOutcome::Failed { code, .. } => Some(Code::of_status(*code)),
            JobOutcome::Succeeded
            | JobOutcome::Finished
            | JobOutcome::Skipped { .. }
            | JobOutcome::Interrupted => None,
        });
        self.interrupted.or(failed).unwrap_or(Code::Success)
    }

    /// A line for each job, and one with the numbers; `what` names the jobs (`builds`).
    pub(crate) fn text(&self, what: &str) -> String {
        let width = self.jobs.iter().map(|(job, _, _)| job.name.chars().count()).max().unwrap_or(0);
        let line = |(job, outcome, duration): &(Job, JobOutcome, Duration)| {
            let name = &job.name;
            match outcome {
                JobOutcome::Succeeded => {
                    format!("  ok       {name:width$}  {:.1} s\n", duration.as_secs_f64())
                }
                JobOutcome::Finished => format!("  ok       {name:width$}  finished by an earlier run\n"),
                JobOutcome::Failed { code, error } => {
                    let error = error.lines().next().unwrap_or_default();
                    let seconds = duration.as_secs_f64();
                    format!("  FAILED   {name:width$}  {seconds:.1} s, exit status {code}: {error}\n")
                }
                JobOutcome::Skipped { because } => format!("  not run  {name:width$}  it needs {because}\n"),
                JobOutcome::Interrupted => format!("  not run  {name:width$}  interrupted\n"),
            }
        };
        let lines: String = self.jobs.iter().map(line).collect();
        let [succeeded, failed, left] = self.numbers();
        format!("{lines}{what}: {succeeded} succeeded, {failed} failed, {left} not run\n")
    }

    /// `{"jobs": [{"name", "file", "outcome", "seconds", "exit_code"?, "error"?, "because"?}], "succeeded", "failed", "not_run"}`
    pub(crate) fn json(&self) -> Value {
        let [succeeded, failed, not_run] = self.numbers();
        let jobs: Vec<Value> = self.jobs.iter().map(json_of).collect();
        json!({"jobs": jobs, "succeeded": succeeded, "failed": failed, "not_run": not_run})
    }

    /// How many have succeeded, have failed, and did not run.
    pub(super) fn numbers(&self) -> [usize; 3] {
        let mut numbers = [0; 3];
        for (_, outcome, _) in &self.jobs {
            let kind = match outcome {
                JobOutcome::Succeeded | JobOutcome::Finished => 0,
                JobOutcome::Failed { .. } => 1,
                JobOutcome::Skipped { .. } | JobOutcome::Interrupted => 2,
            };
            numbers[kind] += 1;
        }
        numbers
    }
}

fn json_of((job, outcome, duration): &(Job, JobOutcome, Duration)) -> Value {
    let mut value = json!({"name": job.name, "file": job.file, "seconds": duration.as_secs_f64()});
    match outcome {
        JobOutcome::Succeeded => value["outcome"] = "succeeded".into(),
        JobOutcome::Finished => value["outcome"] = "finished_before".into(),
        JobOutcome::Failed { code, error } => {
            value["outcome"] = "failed".into();
            value["exit_code"] = (*code).into();
            value["error"] = error.as_str().into();
        }
        JobOutcome::Skipped { because } => {
            value["outcome"] = "skipped".into();
            value["because"] = because.as_str().into();
        }
        JobOutcome::Interrupted => value["outcome"] = "interrupted".into(),
    }
    value
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::jobs) fn report() -> Report {
        let job = |name: &str| Job { name: name.into(), file: format!("{name}.yaml") };
        Report {
            jobs: vec![
                (job("a"), JobOutcome::Succeeded, Duration::from_millis(1500)),
                (
                    job("bb"),
                    JobOutcome::Failed { code: 5, error: "step 1 <x> & \u{1}\nmore".into() },
                    Duration::from_secs(2),
                ),
                (job("c"), JobOutcome::Skipped { because: "bb".into() }, Duration::ZERO),
                (job("d"), JobOutcome::Finished, Duration::ZERO),
            ],
            interrupted: None,
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_job_and_the_numbers() {
        assert_eq!(
            report().text("builds"),
            "  ok       a   1.5 s\n  FAILED   bb  2.0 s, exit status 5: step 1 <x> & \u{1}\n  not run  c   it needs bb\n  \
             ok       d   finished by an earlier run\nbuilds: 2 succeeded, 1 failed, 1 not run\n"
        );
        assert_eq!(report().code(), Code::Step);
        let terminated = Report { interrupted: Some(Code::Terminated), ..report() };
        assert_eq!(terminated.code(), Code::Terminated, "a signal wins");
        assert_eq!(Report::default().code(), Code::Success);
    }

    #[test]
    fn json_has_what_a_program_needs() {
        let json = report().json();
        assert_eq!(json["jobs"][1]["exit_code"], 5);
        assert_eq!(json["jobs"][2]["because"], "bb");
        assert_eq!(
            (&json["succeeded"], &json["failed"], &json["not_run"]),
            (&json!(2), &json!(1), &json!(1))
        );
    }
}
