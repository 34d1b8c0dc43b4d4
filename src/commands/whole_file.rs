//! A file of the user's that appears when all of it is written.

use std::{fs::File, path::Path};

use anyhow::{Context, Result, ensure};

use crate::package::Directory;

/// Writes a file; one that is there is replaced. Its directory must be there.
pub(super) fn write_whole<T>(path: &Path, write: impl FnOnce(&File) -> Result<T>) -> Result<T> {
    let name = path.file_name().and_then(|name| name.to_str()).context("its name cannot be used")?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(parent.is_dir(), "{} is not a directory", parent.display());
    let directory = Directory::open(parent)?;
    let staged = directory.stage()?;
    let written = write(staged.file())?;
    staged.file().sync_all()?;
    staged.publish(name)?;
    directory.sync()?;
    Ok(written)
}
