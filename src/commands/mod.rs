//! The sub-commands. All parts of kiln meet here and nowhere else.

mod arguments;
mod bash;
mod bench;
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
mod index;
mod jobs;
mod keygen;
mod license_check;
mod lint;
mod log;
mod man;
mod options;
mod plan;
mod progress;
mod published;
mod query;
mod recipe;
mod rerun_command;
mod run;
mod runtime;
mod shell;
mod sign;
mod sign_index;
mod signals;
mod test;
mod unsupported;
mod update_cache;
mod waiting;
mod whole_file;

use std::{env::args_os, process::ExitCode};

use anyhow::Result;
use clap::Parser;

use self::runtime::on_runtime;
use crate::{
    cli::{Cli, Command, Schema, with_joined_booleans},
    env::Env,
    exit::code_of,
    process::return_large_blocks,
    report,
};

/// Runs the program: reads the command line, runs the command, prints an error if there is one.
pub fn main() -> ExitCode {
    return_large_blocks();
    let cli = match Cli::try_parse_from(with_joined_booleans(args_os())) {
        Ok(cli) => cli,
        Err(error) => return arguments::refuse(error),
    };
    let code_of_error = match &cli.command {
        Command::Run(_) | Command::Shell(_) => guest::code_of_error,
        _ => |error: &anyhow::Error| code_of(error) as u8,
    };
    let result = log::start(cli.log_level()).and_then(|()| run(cli.command, cli.quiet));
    ExitCode::from(result.unwrap_or_else(|error| {
        report::error(&error);
        code_of_error(&error)
    }))
}

/// Runs the command; returns the exit code.
fn run(command: Command, quiet: bool) -> Result<u8> {
    let env = Env::of_process();
    let done = match if quiet { command.quieted() } else { command } {
        Command::Run(args) => return on_runtime(run::run(&args, &env, volume(quiet))),
        Command::Shell(args) => return on_runtime(shell::run(&args, &env, volume(quiet))),
        Command::Bench { command } => return on_runtime(bench::run(command, &env, volume(quiet))),
        Command::Build(args) => on_runtime(build::run(&args, &env)),
        Command::Test(args) => on_runtime(test::run(&args, &env)),
        Command::Plan(args) => on_runtime(plan::run(&args, &env)),
        Command::Compile(args) => compile::print(&args),
        Command::PackageVersion(args) => query::package_version(&args),
        Command::Query(args) => query::run(&args),
        Command::UpdateCache(args) => on_runtime(update_cache::run(&args, &env)),
        Command::Keygen(args) => keygen::run(&args),
        Command::Sign(args) => sign::run(&args),
        Command::SignIndex(args) => sign_index::run(&args),
        Command::Index(args) => index::run(&args),
        Command::Doctor(args) => on_runtime(doctor::run(&args, &env)),
        Command::Cache { command } => cache::run(command, &env),
        Command::Image { command } => on_runtime(image::run(command, &env, volume(quiet))),
        Command::Lint(args) => lint::run(&args),
        Command::LicenseCheck(args) => license_check::run(&args),
        Command::Version => report::print(&format!("kiln {}\n", env!("CARGO_PKG_VERSION"))),
        Command::Schema { of: Schema::Events } => report::print(report::EVENTS_SCHEMA),
        Command::Man { directory } => man::write(&directory),
        Command::Completion { shell } => report::print(&completion::script(shell)),
        Command::Complete(args) => complete::run(&args, &env),
    };
    done.map(|code| code as u8)
}

/// The meaning of `-q` for commands without `--progress`.
fn volume(quiet: bool) -> waiting::Volume {
    if quiet { waiting::Volume::Quiet } else { waiting::Volume::Usual }
}
