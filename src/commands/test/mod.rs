//! `kiln test`: the tests of a build file's packages, each in a fresh guest.

mod one;
mod select;

use std::{env, ffi::OsString, fs, path::Path};

use anyhow::{Context, Result};

use super::{
    jobs::{JobCommand, Jobs, job_option, with_options},
    recipe, signals,
};
use crate::{
    cli::TestArgs,
    env::Env,
    event::Event,
    exit::{Code, Failure},
    jobs::{Job, Report, Schedule, junit},
    process::Spawner,
    report::{self, Progress},
};

/// Runs the tests, and reports the results; returns the exit code.
pub(super) async fn run(args: &TestArgs, env: &Env) -> Result<Code> {
    if let Some(name) = &args.job {
        return one::run(args, name, env).await;
    }
    let mut notes = |event: Event| {
        if let Event::Note { text } = event
            && !matches!(args.progress, Progress::Json | Progress::Quiet)
        {
            report::to_stderr(&text);
        }
    };
    let file = recipe::file(args.file.as_deref())?;
    let tests = select::tests(args, &file, &mut notes)?;
    if let Some(path) = &args.junit {
        check_writable(path)?;
    }
    if tests.is_empty() {
        notes(Event::Note { text: format!("{}: no package has a test", file.display()) });
    }
    let name = file.display().to_string();
    let arguments: Vec<OsString> = env::args_os().collect();
    let commands: Vec<JobCommand> = tests
        .iter()
        .map(|test| {
            let job = Job { name: test.package.name.to_string(), file: name.clone() };
            let arguments = with_options(&arguments, "test", [job_option(job.name.as_ref())]);
            JobCommand { job, arguments }
        })
        .collect();
    let spawner = Spawner::start()?;
    let outcome = signals::guard(async |interrupts| {
        let jobs = Jobs { spawner: &spawner, interrupts, at_once: args.jobs, progress: args.progress };
        jobs.run(&commands, Schedule::independent(commands.len()), |_| Ok(())).await
    });
    let outcome = outcome.await?;
    spawner.finish()?;
    write(args, &outcome, &name)?;
    Ok(outcome.code())
}

/// Refuses a file of results that cannot be written before the tests, which may take long, are run for nothing. An empty file is
/// no result: one that was not there is not left.
fn check_writable(path: &Path) -> Result<()> {
    let is_new = !path.exists();
    let opened = fs::File::options().append(true).create(true).open(path);
    let removed = opened.and_then(|_| if is_new { fs::remove_file(path) } else { Ok(()) });
    removed.map_err(|error| {
        let what = format!("--junit: {} cannot be written: {error}", path.display());
        Failure::host(what, "name a file that this user can write, in a directory that is there")
    })?;
    Ok(())
}

/// Writes the results: a table for people, a document for `--json`, a file for `--junit`.
fn write(args: &TestArgs, report: &Report, file: &str) -> Result<()> {
    if let Some(path) = &args.junit {
        let document = junit(report, &format!("tests of {file}"));
        fs::write(path, document).with_context(|| format!("write {}", path.display())).map_err(|error| {
            Failure::host(format!("--junit: {error:#}"), "name a file that this user can write")
        })?;
    }
    if args.json {
        report::print(&format!("{:#}\n", report.json()))?;
    }
    match args.progress {
        Progress::Json => {}
        Progress::Quiet if report.code() == Code::Success => {}
        _ if report.jobs.is_empty() => {}
        _ => report::to_stderr(report.text("tests").trim_end()),
    }
    Ok(())
}
