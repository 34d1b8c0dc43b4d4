//! `kiln cache`: the users of caches, their content, and their care.

mod export;
mod import;
mod lease;
mod list;
mod prune;
mod report;
mod verify;

use anyhow::Result;

use self::lease::{lease, lease_of, nested};
use crate::{cli::CacheCommand, env::Env, exit::Code, home::Home};

/// Runs the sub-command.
pub(super) fn run(command: CacheCommand, env: &Env) -> Result<Code> {
    let home = Home::find(env)?;
    match command {
        CacheCommand::Ls { json } => list::run(&home, json),
        CacheCommand::Report { cache, json } => report::run(&home, &cache, json),
        CacheCommand::Export(args) => export::run(&home, &args),
        CacheCommand::Import(args) => import::run(&home, &args),
        CacheCommand::Prune(args) => prune::run(&home, &args),
        CacheCommand::Verify { cache, repair, json } => verify::run(&home, &cache, repair, json),
    }
}
