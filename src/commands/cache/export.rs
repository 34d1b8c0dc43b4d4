//! `kiln cache export`.

use std::path::Path;

use anyhow::{Context, Result};

use super::{import::STANDARD, lease};
use crate::{
    cache::{self, Chosen, LockMode},
    cli::ExportArgs,
    commands::whole_file::write_whole,
    event::Amount,
    exit::{Code, Failure},
    home::Home,
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
    let written = write_whole(file, |out| cache::export(&lease, &chosen, out)).with_context(|| {
        Failure::new(Code::Cache, format!("{} cannot be written", file.display()), "nothing of it is left")
    })?;
    let Amount { entries, bytes } = written;
    report::print(&format!(
        "{} holds {entries} files and links, {bytes} bytes before packing\n",
        file.display()
    ))
}
