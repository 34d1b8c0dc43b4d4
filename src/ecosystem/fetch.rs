//! `fetch`, which is kiln's own: sources at the top of the cache, named by their hash.

use super::expected::{Algorithm, Expected};

/// The names of unfinished downloads begin so.
pub const UNFINISHED: &str = ".fetch.";

/// How the names of sources begin.
const SOURCES: [(&str, Algorithm); 2] = [("sha256:", Algorithm::Sha256), ("sha512:", Algorithm::Sha512)];

/// The content that the path of a file promises.
pub(super) fn expected(path: &[u8]) -> Expected {
    for (start, algorithm) in SOURCES {
        if let Some(hex) = path.strip_prefix(start.as_bytes()) {
            return if hex.contains(&b'/') { Expected::NoFile } else { Expected::digest(algorithm, hex) };
        }
    }
    Expected::Anything
}

/// Whether a directory at this path has the place of a source, or lies below one that has.
pub fn is_source_name(path: &[u8]) -> bool {
    SOURCES.iter().any(|(start, _)| path.starts_with(start.as_bytes()))
}
