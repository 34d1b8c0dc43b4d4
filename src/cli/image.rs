//! `kiln image`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueHint};

use super::{
    MachineArgs, RecipeArgs,
    values::{Checked, duration, image_reference},
};
use crate::{plan::ImageReference, report::Progress};

/// `kiln image …`.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// List the images of the store, and the templates of guests.
    #[command(visible_alias = "list")]
    Ls {
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Make an image, if the store does not have it.
    Build {
        /// debian:SUITE[+PACKAGE,…], a directory, or a tar.
        #[arg(value_parser = image_reference())]
        image: ImageReference,
        /// Ask the distribution for updates, and make the image anew if there are any.
        #[arg(long)]
        refresh: bool,
        /// How events are shown.
        #[arg(long, value_enum, default_value = "auto")]
        progress: Progress,
    },
    /// Write an image as an archive, which `kiln image import` adds to the store of another machine.
    Export {
        /// Its name, or the first digits of its key, as `kiln image ls` shows them.
        image: String,
        /// The archive (.tar.zst), which appears when it is complete; - for stdout.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Add the image of such an archive to the store, under the name that it had; one of this name stays. Builds run in it: take only
    /// archives of those whom you trust.
    Import {
        /// The archive; - for stdin.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// How events are shown.
        #[arg(long, value_enum, default_value = "auto")]
        progress: Progress,
    },
    /// Make the image and the template that builds in a microVM start from, so that the first one starts as fast as all others.
    Warm(Box<WarmArgs>),
    /// Remove images that no build uses at this moment, and templates.
    Prune {
        /// Only those not used for so long (90s, 24h).
        #[arg(long, value_name = "DURATION", value_parser = Checked(duration))]
        unused_for: Option<Duration>,
    },
}

/// `kiln image warm`.
#[derive(Debug, Args)]
#[command(
    after_help = "A template depends on memory, processors, kernel, QEMU and this boot of the host, and on whether a share comes by \
virtiofs: give the options and the environment of the builds that are to start from it."
)]
pub struct WarmArgs {
    /// The build file whose guest it is [default: a guest of --image].
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// How its recipe is made.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// In what its builds run.
    #[command(flatten)]
    pub machine: MachineArgs,
}
