//! `kiln man`: manual pages, made of the same types as `--help`.

use std::{
    fs::{self, File},
    path::Path,
};

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::{
    cli::Cli,
    exit::{Code, Failure},
};

/// Writes one for each command.
pub(super) fn write(directory: &Path) -> Result<Code> {
    let cannot = |error: std::io::Error| {
        let what = format!("{} cannot be made: {error}", directory.display());
        Failure::host(what, "name a directory that this user can write")
    };
    fs::create_dir_all(directory).map_err(cannot)?;
    let mut root = Cli::command();
    root.build();
    page(&root, "kiln", directory)?;
    Ok(Code::Success)
}

/// The page of `command`, called `name`, and those of the commands below it.
fn page(command: &clap::Command, name: &str, directory: &Path) -> Result<()> {
    let path = directory.join(format!("{name}.1"));
    let doing = || format!("write {}", path.display());
    let mut file = File::create(&path).with_context(doing)?;
    // Its title is the display name that Command::build gave it.
    clap_mangen::Man::new(command.clone()).manual("kiln").render(&mut file).with_context(doing)?;
    let below = command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set());
    below.into_iter().try_for_each(|below| page(below, &format!("{name}-{}", below.get_name()), directory))
}
