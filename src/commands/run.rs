//! `kiln run`: a command in a fresh guest of an image.

use anyhow::Result;

use super::{
    guest::{Guest, exit_code, options_of_bare, recipe_of_bare},
    waiting::{Volume, Waiting},
};
use crate::{
    cli::RunArgs,
    console::{Console, OutputStream},
    env::Env,
    plan::InteractiveCommand,
    process::Spawner,
    secret,
};

/// Runs the command; returns its exit code.
pub(super) async fn run(args: &RunArgs, env: &Env, volume: Volume) -> Result<u8> {
    let RunArgs { machine, interactive, tty, command } = args;
    let spawner = Spawner::start()?.withhold(secret::variables(&machine.secret));
    let console = match (*tty, *interactive) {
        (true, _) => Console::terminal(
            OutputStream::Stdout,
            spawner.terminals(),
            "-t",
            "leave -t out; -i passes on what comes on stdin",
        )?,
        (false, true) => Console::piped()?,
        (false, false) => Console::unattended(),
    };
    let recipe = recipe_of_bare()?;
    let options = options_of_bare(machine, env)?;
    let wanted = InteractiveCommand::Command(command.clone());
    let waiting = Waiting::new(volume);
    exit_code(Guest { recipe, options, machine, wanted, console, waiting }.run(env, spawner).await)
}
