//! `kiln image`: the root images of the store.

mod build;
mod list;
mod prune;

use anyhow::Result;

use crate::{cli::ImageCommand, env::Env, exit::Code, home::Home, image::Store};

/// Runs the sub-command.
pub(super) async fn run(command: ImageCommand, env: &Env) -> Result<Code> {
    let store = Store::open(&Home::find(env)?, env)?;
    match command {
        ImageCommand::Ls { json } => list::run(&store, json),
        ImageCommand::Build { image, refresh, progress } => {
            build::run(&store, image, refresh, progress).await
        }
        ImageCommand::Prune { unused_for } => prune::run(&store, env, unused_for).await,
    }
}
