//! `kiln image`: the root images and the templates of the store.

mod build;
mod export;
mod import;
mod list;
mod prune;
mod warm;

use anyhow::Result;

use super::waiting::Volume;
use crate::{
    backend::qemu::template::Templates, cli::ImageCommand, env::Env, exit::Code, home::Home, image::Store,
};

/// Runs the sub-command.
pub(super) async fn run(command: ImageCommand, env: &Env, volume: Volume) -> Result<Code> {
    let home = Home::find(env)?;
    let (store, templates) = (Store::open(&home, env)?, Templates::of(&home)?);
    match command {
        ImageCommand::Ls { json } => list::run(&store, &templates, json),
        ImageCommand::Build { image, refresh, progress } => {
            build::run(&store, image, refresh, progress).await
        }
        ImageCommand::Export { image, file } => export::run(&store, &image, &file),
        ImageCommand::Import { file, progress } => import::run(&store, &file, progress).await,
        ImageCommand::Warm(args) => warm::run(&args, &templates, env, volume).await,
        ImageCommand::Prune { unused_for } => prune::run(&store, &templates, env, unused_for).await,
    }
}
