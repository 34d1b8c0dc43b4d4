//! What each sub-command does; the only place where all parts meet.

mod again;
mod arguments;
mod bash;
mod build;
mod cache;
pub mod compile;
mod complete;
mod completion;
pub mod doctor;
pub mod explain;
mod greeting;
mod guest;
mod host_settings;
mod image;
mod man;
mod options;
mod plan;
mod progress;
mod recipe;
mod signals;
mod unsupported;
mod update_cache;
mod waiting;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Parser;

use crate::{
    cli::{Cli, Command, Schema},
    env::Env,
    exit::{Failure, code_of},
    report,
};

/// Runs the program: reads the command line, does what it says, prints an error if there is one.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return arguments::refuse(error),
    };
    let code_of_error = match &cli.command {
        Command::Run(_) | Command::Shell(_) => guest::code_of_error,
        _ => |error: &anyhow::Error| code_of(error) as u8,
    };
    let result = start_log(cli.log_level()).and_then(|()| run(cli.command, cli.quiet));
    ExitCode::from(result.unwrap_or_else(|error| {
        report::error(&error);
        code_of_error(&error)
    }))
}

/// Levels of the log that are for users: they need neither the time nor kiln's own modules.
const FOR_USERS: [&str; 2] = ["error", "warn"];

fn start_log(level: &str) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(level).map_err(|error| {
        Failure::usage(format!("--log-level {level}: {error}"), "write error, warn, info or debug")
    })?;
    let colour = io::stderr().is_terminal() && Env::of_process().get("NO_COLOR").is_none();
    let printer = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colour);
    if FOR_USERS.contains(&level) {
        printer.without_time().with_target(false).init();
    } else {
        printer.init();
    }
    Ok(())
}

/// Does it; returns what to exit with.
fn run(command: Command, quiet: bool) -> Result<u8> {
    let env = Env::of_process();
    let done = match if quiet { command.quieted() } else { command } {
        Command::Run(args) => return on_runtime(guest::run(&args, &env, volume(quiet))),
        Command::Shell(args) => return on_runtime(guest::shell(&args, &env, volume(quiet))),
        Command::Build(args) => on_runtime(build::run(&args, &env)),
        Command::Plan(args) => on_runtime(plan::run(&args, &env)),
        Command::Compile(args) => recipe::print(&args),
        Command::UpdateCache(args) => on_runtime(update_cache::run(&args, &env)),
        Command::Doctor(args) => on_runtime(doctor::run(&args, &env)),
        Command::Cache { command } => cache::run(command, &env),
        Command::Image { command } => on_runtime(image::run(command, &env)),
        Command::Version => report::print(&format!("kiln {}\n", env!("CARGO_PKG_VERSION"))),
        Command::Schema { of: Schema::Events } => report::print(report::EVENTS_SCHEMA),
        Command::Man { directory } => man::write(&directory),
        Command::Completion { shell } => report::print(&completion::script(shell)),
        Command::Complete(args) => complete::run(&args, &env),
    };
    done.map(|code| code as u8)
}

/// What `-q` means where no option says how progress is shown.
fn volume(quiet: bool) -> waiting::Volume {
    if quiet { waiting::Volume::Quiet } else { waiting::Volume::Usual }
}

/// One thread: children are bound to the thread that spawns them, and this one lives as long as the program.
fn on_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let result = runtime.block_on(work);
    // Threads that still wait for a stream must not keep the program.
    runtime.shutdown_background();
    result
}
