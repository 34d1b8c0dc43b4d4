//! `kiln bench`: takes samples, shows them, and compares two results.

mod boot;
mod build;
mod cache;
mod compare;
mod io;
mod measure;

use anyhow::Result;

use crate::{cli::BenchCommand, env::Env};

use super::waiting::Volume;

/// Runs the sub-command; returns the exit code.
pub(super) async fn run(command: BenchCommand, env: &Env, volume: Volume) -> Result<u8> {
    match command {
        BenchCommand::Boot { run, phases, accel } => boot::run(&run, phases, accel, env, volume).await,
        BenchCommand::Build { run, only, accel } => build::run(&run, only, accel, env, volume).await,
        BenchCommand::Cache { run } => cache::run(&run, env, volume).await,
        BenchCommand::Compare(args) => compare::run(&args),
        BenchCommand::Io { run, io } => io::run(&run, &io, env, volume).await,
    }
}
