//! The upper directories of the overlays of a world. Once there is a root, no path leads to them: a descriptor of each is
//! kept from when it was made, and one of the overlay itself.

use std::{collections::HashMap, os::fd::OwnedFd, path::Path};

use anyhow::{Context, Result};
use nix::{
    dir::Dir,
    fcntl::{OFlag, open, openat},
    sys::stat::Mode,
};

use crate::{export::Export, targets::Targets};

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_CLOEXEC).union(OFlag::O_DIRECTORY);

/// The descriptors of each overlay, by its target.
#[derive(Default)]
pub(crate) struct Uppers(HashMap<String, Layers>);

/// An overlay's directories.
struct Layers {
    upper: OwnedFd,
    merged: OwnedFd,
}

impl Uppers {
    /// Keeps `upper` as what is written to the overlay on `target`.
    pub(crate) fn keep(&mut self, targets: &Targets, target: &str, upper: &str) -> Result<()> {
        let opened = |path: &str| {
            let found = targets.find(path)?;
            open(Path::new(found.path()), DIRECTORY, Mode::empty()).with_context(|| format!("open {path}"))
        };
        self.0.insert(target.to_owned(), Layers { upper: opened(upper)?, merged: opened(target)? });
        Ok(())
    }

    /// Begins the export of what was written to the overlay on `target`.
    pub(crate) fn export(&self, target: &str) -> Result<Export> {
        let Layers { upper, merged } =
            self.0.get(target).with_context(|| format!("there is no overlay on {target}"))?;
        let context = || format!("export the upper directory of {target}");
        // A description of its own: it is read from the start however often it is exported.
        let directory = openat(upper, ".", DIRECTORY, Mode::empty()).with_context(context)?;
        let directory = Dir::from_fd(directory).with_context(context)?;
        Export::of_upper(directory, merged.try_clone().with_context(context)?).with_context(context)
    }
}
