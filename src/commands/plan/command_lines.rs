//! The command lines that a build of this plan starts, as data: what exists only once a build runs has a name in brackets.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::{build::Resolved, commands::rerun_command, home::Home};

/// Stands for the image where it is not made yet.
const NOT_MADE: &str = "(made at the first build)";

/// All of them, each with its program first.
pub(super) fn command_lines(home: &Home, resolved: &Resolved) -> Result<Vec<Vec<OsString>>> {
    let Resolved { plan, store, backend } = resolved;
    let root = store.find(&plan.image)?.map_or_else(|| PathBuf::from(NOT_MADE), |image| image.path);
    backend.command_lines(home, plan, &root)
}

/// For a shell: a switch and its value on each line.
pub(super) fn text(argv: &[OsString]) -> String {
    let mut text = String::new();
    for (at, word) in argv.iter().enumerate() {
        let word = Path::new(word).display().to_string();
        let separator = match (at, word.starts_with('-')) {
            (0, _) => "",
            (_, true) => " \\\n  ",
            (_, false) => " ",
        };
        text += &format!("{separator}{}", rerun_command::quoted(&word));
    }
    text + "\n"
}
