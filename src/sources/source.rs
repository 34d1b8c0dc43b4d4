//! A source as a build file has it.

use std::collections::BTreeMap;

/// A source that a step takes from the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A `fetch`.
    File(FileSource),
    /// A `git-checkout`.
    Git(GitSource),
}

impl Source {
    /// Its address, as written.
    pub fn address(&self) -> &str {
        match self {
            Self::File(file) => &file.uri,
            Self::Git(git) => &git.repository,
        }
    }
}

/// A file and its hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSource {
    /// Its address.
    pub uri: String,
    /// Its hashes as lower-case hex; the cache has it under the first one.
    pub hashes: Vec<(Algorithm, String)>,
}

/// A hash that a file can be expected to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// As names in the cache begin.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

/// A repository, and the commit and files of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSource {
    /// Its address.
    pub repository: String,
    /// All inputs of the step, as the variables of its script.
    pub inputs: BTreeMap<String, String>,
    /// The script of the step, which also fills the cache.
    pub script: String,
}

impl GitSource {
    /// An input of the step; the empty text if it has none.
    pub(super) fn input(&self, name: &str) -> &str {
        self.inputs.get(name).map_or("", String::as_str)
    }
}
