//! `kiln shell`: a shell in a fresh guest, that of a build file or of an image.

use std::path::Path;

use anyhow::Result;

use super::{
    guest::{Guest, exit_code, options_of_bare, recipe_of_bare},
    options, recipe,
    waiting::{Volume, Waiting},
};
use crate::{
    cli::{RecipeArgs, ShellArgs},
    compile::Recipe,
    console::{Console, OutputStream},
    env::Env,
    event::Sink,
    exit::Failure,
    plan::InteractiveCommand,
    process::Spawner,
    secret,
};

/// Opens the shell; returns its exit code.
pub(super) async fn run(args: &ShellArgs, env: &Env, volume: Volume) -> Result<u8> {
    let ShellArgs { file, recipe: how, machine } = args;
    let spawner = Spawner::start()?.withhold(secret::variables(&machine.secret));
    let otherwise = "run it in a terminal, or use `kiln run -- COMMAND`";
    let console = Console::terminal(OutputStream::Stdout, spawner.terminals(), "kiln shell", otherwise)?;
    let mut waiting = Waiting::new(volume);
    let (recipe, options) = match file.clone().or_else(|| recipe::file(None).ok()) {
        Some(file) => (described(&file, how, &mut waiting)?, options::options(machine, env, &file)?),
        None => (recipe_of_bare()?, options_of_bare(machine, env)?),
    };
    let wanted = InteractiveCommand::Shell;
    exit_code(Guest { recipe, options, machine, wanted, console, waiting }.run(env, spawner).await)
}

/// The recipe of a build file, which is for this architecture.
pub(super) fn described(file: &Path, args: &RecipeArgs, sink: &mut dyn Sink) -> Result<Recipe> {
    recipe::load(file, args, sink)?.ok_or_else(|| {
        Failure::usage(
            format!("{}: target-architecture does not name this host's", file.display()),
            "name another build file, or none with --image",
        )
        .into()
    })
}
