//! What ELF files start with, and why one is not read.

use std::io;

/// The first bytes of each ELF file.
pub(super) const MAGIC: &[u8] = b"\x7fELF";

/// Why a part of a file is not read.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The file contradicts the format, or a limit.
    Broken(&'static str),
    /// The content cannot be read.
    Unreadable(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}
