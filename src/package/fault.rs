//! Why a package cannot be written: the entry, the output, or the package as a whole.

use std::{io, path::Path};

use anyhow::Error;

use super::{out_dir::unwritable, refusal::refuse};

/// A fault of the archive that is being written.
#[derive(Debug)]
pub(super) enum Fault {
    /// The reason of the refusal of an entry.
    Refused(String),
    /// The output cannot be written.
    Output(io::Error),
    /// The package is not what the build file says.
    Package(Error),
}

impl From<String> for Fault {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Fault {
    /// The error for users: `entry` is the one that was refused, as the guest spells it.
    pub(super) fn into_error(self, entry: &[u8], out_dir: &Path) -> Error {
        match self {
            Self::Refused(why) => refuse(entry, why),
            Self::Output(error) => unwritable(out_dir, &error),
            Self::Package(error) => error,
        }
    }
}
