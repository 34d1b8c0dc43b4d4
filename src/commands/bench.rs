//! `kiln bench`: takes samples, shows them, and compares two results.

mod boot;
mod measure;

use anyhow::Result;

use crate::{cli::BenchCommand, env::Env};

use super::waiting::Volume;

/// Runs the sub-command; returns the exit code.
pub(super) async fn run(command: BenchCommand, env: &Env, volume: Volume) -> Result<u8> {
    match command {
        BenchCommand::Boot { run, phases, accel } => boot::run(&run, phases, accel, env, volume).await,
    }
}
