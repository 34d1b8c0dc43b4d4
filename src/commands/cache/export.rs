//! `kiln cache export`.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{import::STANDARD, lease};
use crate::{
    cache::{self, Chosen, Lease, LockMode},
    cli::ExportArgs,
    event::Amount,
    exit::{Code, Failure},
    home::Home,
    package::Directory,
    report,
};

/// Writes the archive.
pub(super) fn run(home: &Home, args: &ExportArgs) -> Result<Code> {
    let ExportArgs { file, parts, cache } = args;
    let lease = lease(home, cache, LockMode::Shared)?;
    let chosen = match &parts[..] {
        [] => Chosen::All,
        words => Chosen::Named(
            words.iter().map(|word| cache::named(&lease, word, "export")).collect::<Result<_>>()?,
        ),
    };
    if file == Path::new(STANDARD) {
        cache::export(&lease, &chosen, report::data()?)?;
        return Ok(Code::Success);
    }
    let written = write(&lease, &chosen, file).with_context(|| {
        Failure::new(Code::Cache, format!("{} cannot be written", file.display()), "nothing of it is left")
    })?;
    let Amount { entries, bytes } = written;
    report::print(&format!(
        "{} holds {entries} files and links, {bytes} bytes before packing\n",
        file.display()
    ))
}

/// The file appears when all of it is written.
fn write(lease: &Lease, chosen: &Chosen, file: &Path) -> Result<Amount> {
    let name = file.file_name().and_then(|name| name.to_str()).context("its name cannot be used")?;
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(parent.is_dir(), "{} is not a directory", parent.display());
    let directory = Directory::open(parent)?;
    let staged = directory.stage()?;
    let amount = cache::export(lease, chosen, staged.file())?;
    staged.file().sync_all()?;
    staged.publish(name)?;
    directory.sync()?;
    Ok(amount)
}
