//! The upper directories of the overlays of a world. Once there is a root, no path leads to them: a descriptor of each is
//! kept from when it was made.

use std::{collections::HashMap, os::fd::OwnedFd, path::Path};

use anyhow::{Context, Result};
use nix::{
    dir::Dir,
    fcntl::{OFlag, open, openat},
    sys::stat::Mode,
};

use crate::{attributes::Form, export::Export};

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_CLOEXEC).union(OFlag::O_DIRECTORY);

/// A descriptor of each upper directory, by the overlay's target.
#[derive(Default)]
pub(crate) struct Uppers(HashMap<String, OwnedFd>);

impl Uppers {
    /// Keeps `upper` as what is written to the overlay on `target`.
    pub(crate) fn keep(&mut self, target: &str, upper: &str) -> Result<()> {
        let directory =
            open(Path::new(upper), DIRECTORY, Mode::empty()).with_context(|| format!("open {upper}"))?;
        self.0.insert(target.to_owned(), directory);
        Ok(())
    }

    /// Begins the export of what was written to the overlay on `target`.
    pub(crate) fn export(&self, target: &str) -> Result<Export> {
        let kept = self.0.get(target).with_context(|| format!("there is no overlay on {target}"))?;
        let context = || format!("export the upper directory of {target}");
        // A description of its own: it is read from the start however often it is exported.
        let directory = openat(kept, ".", DIRECTORY, Mode::empty()).with_context(context)?;
        Export::below(Dir::from_fd(directory).with_context(context)?, Form::Upper).with_context(context)
    }
}
