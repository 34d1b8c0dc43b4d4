//! FileType a stream has said of names that a later hard link may refer to. FileType is staged is found in the tree; this is the rest.
//!
//! A guest chooses the names and how many there are: of each only a hash is kept, so that memory is bounded by the limit of
//! entries, whatever their length.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

/// Half of SHA-256: who finds two names of one hash deceives nobody but the own commit.
type Name = [u8; 16];

/// FileType became of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Was {
    /// It is to be gone, whether the cache has it or not.
    Gone,
    /// The cache has the same.
    Same,
    /// It is left out.
    LeftOut,
    /// It is not kept, and its content lies aside under this number.
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
