//! The facts of one package.

use anyhow::{Error, Result};

use super::file::{FileFacts, Kind};
use crate::exit::{Code, Failure};

/// What the facts of one package may take besides paths, in bytes: a Linux tree of modules takes less than 2 MiB.
const MAX_SPECIAL_BYTES: usize = 64 << 20;

/// The facts of one package or subpackage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackageFacts {
    /// The package's name.
    pub name: String,
    files: Vec<FileFacts>,
    special_bytes: usize,
}

impl PackageFacts {
    /// A package without files.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Adds an entry, in any order. Fails with [`Code::Package`] if files say too much.
    pub fn push(&mut self, file: FileFacts) -> Result<()> {
        if let (Some(special), Kind::Regular { .. }) = (&file.special, &file.kind) {
            self.special_bytes = self.special_bytes.saturating_add(special.bytes());
        }
        if self.special_bytes > MAX_SPECIAL_BYTES {
            return Err(self.too_much(&file));
        }
        if self.files.len() == self.files.capacity() {
            // Twice as much at a time would be the most that the packager holds.
            self.files.reserve_exact(1024 + self.files.len() / 8);
        }
        self.files.push(file);
        Ok(())
    }

    /// The entries, in the order in which they were added.
    pub fn files(&self) -> &[FileFacts] {
        &self.files
    }

    fn too_much(&self, file: &FileFacts) -> Error {
        let Self { name, .. } = self;
        let path = String::from_utf8_lossy(&file.path);
        let limit = MAX_SPECIAL_BYTES >> 20;
        let what = format!(
            "the package {name}: libraries and scripts up to {path:?} name more than {limit} MiB of others, which is the limit"
        );
        Failure::new(Code::Package, what, "Split the package, or look at what made these files.").into()
    }
}
