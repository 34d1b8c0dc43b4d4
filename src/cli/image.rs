//! `kiln image`.

use std::time::Duration;

use clap::Subcommand;

use super::values::{Checked, duration, image_reference};
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
    /// Remove images that no build uses at this moment, and templates.
    Prune {
        /// Only those not used for so long (90s, 24h).
        #[arg(long, value_name = "DURATION", value_parser = Checked(duration))]
        unused_for: Option<Duration>,
    },
}
