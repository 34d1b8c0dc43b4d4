//! The names of a stream that are not in the staged tree, and that a later hard link may refer to.
//!
//! Only a hash of each name is kept: a guest chooses the names, and the limit of entries bounds the memory.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

/// Half of SHA-256: a build that finds two names of one hash harms only its own commit.
type Name = [u8; 16];

/// Why a name is not in the staged tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Was {
    /// It is deleted, whether the cache has it or not.
    Gone,
    /// The cache has the same.
    Same,
    /// It is left out.
    LeftOut,
    /// It is not kept, and its content lies in `unnamed` under this number.
    Unnamed(u64),
}

/// All of them.
#[derive(Default)]
pub(super) struct LinkTargets(HashMap<Name, Was>);

impl LinkTargets {
    pub(super) fn add(&mut self, path: &[u8], was: Was) {
        self.0.insert(name(path), was);
    }

    pub(super) fn of(&self, path: &[u8]) -> Option<Was> {
        self.0.get(&name(path)).copied()
    }
}

fn name(path: &[u8]) -> Name {
    let hash = Sha256::digest(path);
    *hash.first_chunk().expect("half of a hash is shorter than all of it")
}
