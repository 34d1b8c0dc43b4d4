//! `kiln run` and `kiln shell`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{MachineArgs, RecipeArgs};

/// `kiln run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits with the command's own status, 128 + N where signal N ended it, 127 where it is not found, \
126 where it cannot be executed, 124 where --timeout or --step-timeout ended it, 130 or 143 where a signal ended kiln, \
and 125 where kiln itself failed. Its stdout and stderr are kiln's, byte by byte; at a terminal (-t) both are stdout.\n\nWithout --source-dir the guest's /home/build is empty. Without --cache-dir there is a cache \
only if ./melange-cache/ exists."
)]
pub struct RunArgs {
    /// In what it runs.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Give the command kiln's stdin; without -i it reads an empty one.
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the command this terminal, which stdin and stdout must be.
    #[arg(short, long)]
    pub tty: bool,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `kiln shell`.
#[derive(Debug, Args)]
#[command(
    after_help = "With a build file the guest is that of its build: image and packages, environment, user, source and \
cache. Nothing that is done in it reaches the host but what a cache in mode rw keeps. Exits as `kiln run` does."
)]
pub struct ShellArgs {
    /// The build file [default: that of the working directory, as for `kiln build`; where there is none, a guest of
    /// --image with an empty workspace].
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// How its recipe is made.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// In what it runs.
    #[command(flatten)]
    pub machine: MachineArgs,
}
