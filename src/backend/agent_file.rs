//! The agent's program as a file of kiln's home, for backends that put it into a guest by its path.

use std::path::PathBuf;

use anyhow::Result;
use sha2::{Digest, Sha256};

use crate::{
    files::write_program_atomically,
    guest,
    home::{self, Home},
    image::Key,
};

/// The most agents that are kept: one for each version of kiln in use.
const MOST_AGENTS: usize = 8;

/// The directory of the files in kiln's home.
const AGENTS: &str = "agents";

/// The path at which [`ensure`] keeps the file of this version of kiln.
pub(super) fn path(home: &Home) -> PathBuf {
    home.root().join(AGENTS).join(Key::from(Sha256::new_with_prefix(guest::AGENT)).as_str())
}

/// Writes the file if it is missing. Its name is the hash of its content, so that all runs share it.
pub(super) fn ensure(home: &Home) -> Result<PathBuf> {
    let directory = home.dir(AGENTS)?;
    let path = path(home);
    if path.exists() {
        home::used(&path);
        return Ok(path);
    }
    write_program_atomically(&path, guest::AGENT)?;
    home::bound(&directory, MOST_AGENTS, |_| true)?;
    Ok(path)
}
