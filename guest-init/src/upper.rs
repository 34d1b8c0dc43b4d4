//! The directories of the guest's overlays. No path leads to them from the later root, so each overlay keeps descriptors of its
//! upper, merged and lower directory.

use std::{
    collections::HashMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use anyhow::{Context, Result};
use kiln_reads::Layers;
use nix::{
    dir::Dir,
    fcntl::{OFlag, open, openat},
    sys::stat::{Mode, fstat},
};

use crate::{export::Export, listing::Listing, targets::Targets};

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_CLOEXEC).union(OFlag::O_DIRECTORY);

/// The descriptors of each overlay, by its target.
#[derive(Default)]
pub(crate) struct Uppers(HashMap<String, Overlay>);

/// An overlay's directories.
struct Overlay {
    upper: OwnedFd,
    merged: OwnedFd,
    /// Known where the agent has mounted the overlay itself.
    lower: Option<OwnedFd>,
}

impl Uppers {
    /// Registers `upper` and `lower` as directories of the overlay on `target`.
    pub(crate) fn keep(
        &mut self,
        targets: &Targets,
        target: &str,
        upper: &str,
        lower: Option<&str>,
    ) -> Result<()> {
        let opened = |path: &str| {
            let found = targets.find(path)?;
            open(Path::new(found.path()), DIRECTORY, Mode::empty()).with_context(|| format!("open {path}"))
        };
        let lower = lower.map(opened).transpose()?;
        self.0.insert(target.to_owned(), Overlay { upper: opened(upper)?, merged: opened(target)?, lower });
        Ok(())
    }

    /// The layers of the overlay with this root, if the agent has mounted it.
    pub(crate) fn layers(&self, directory: BorrowedFd<'_>) -> Result<Option<Layers>> {
        let number = |file: BorrowedFd<'_>| fstat(file).map(|stat| (stat.st_dev, stat.st_ino)).ok();
        let is_root = |overlay: &&Overlay| number(overlay.merged.as_fd()) == number(directory);
        let Some(Overlay { upper, lower: Some(lower), .. }) = self.0.values().find(is_root) else {
            return Ok(None);
        };
        let copy = |file: &OwnedFd| file.try_clone().context("copy a descriptor of an overlay's layer");
        Ok(Some(Layers { upper: copy(upper)?, lower: copy(lower)? }))
    }

    /// Begins to list the upper directory of the overlay on `target`.
    pub(crate) fn list(&self, target: &str) -> Result<Export> {
        let lower = self.0.get(target).and_then(|overlay| overlay.lower.as_ref());
        let lower = lower.map(OwnedFd::try_clone).transpose();
        Ok(self.export(target)?.names(Listing::new(lower.context("copy a descriptor of a lower directory")?)))
    }

    /// Begins to export the upper directory of the overlay on `target`.
    pub(crate) fn export(&self, target: &str) -> Result<Export> {
        let Overlay { upper, merged, lower: _ } =
            self.0.get(target).with_context(|| format!("there is no overlay on {target}"))?;
        let context = || format!("export the upper directory of {target}");
        // A new open file description, so that each export reads it from the start.
        let directory = openat(upper, ".", DIRECTORY, Mode::empty()).with_context(context)?;
        let directory = Dir::from_fd(directory).with_context(context)?;
        Export::of_upper(directory, merged.try_clone().with_context(context)?).with_context(context)
    }
}
