//! The isolation of a build: the resources that it has for itself, and those that it shares with the host.

use serde::Serialize;

/// The directories of the host that every backend gives to a build.
pub(super) const GIVEN: &str = "source (read-only) and cache (as --cache-mode says)";

/// What a build has for itself, and what it shares with the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Isolation {
    /// Its own: a build that wants out has to get through these.
    pub own: Vec<String>,
    /// The host's: what a build sees, reaches or uses up.
    pub shared: Vec<String>,
}

impl Isolation {
    pub(super) fn new(own: &[&str], shared: &[&str]) -> Self {
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self { own: list(own), shared: list(shared) }
    }
}
