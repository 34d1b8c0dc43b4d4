//! The categories under which entries of a cache are counted: a directory at the top each, sources, and other files there.

use crate::ecosystem::{Expected, expected};

/// The name under which an entry is counted: the directory at the top, or [`SOURCES`] or [`TOP`] for a file there.
pub(in crate::cache) fn category(path: &[u8], is_directory: bool) -> String {
    match path.iter().position(|&byte| byte == b'/') {
        Some(slash) => String::from_utf8_lossy(&path[..slash]).into_owned(),
        None if is_directory => String::from_utf8_lossy(path).into_owned(),
        None if matches!(expected(path), Expected::Digest(_)) => SOURCES.into(),
        None => TOP.into(),
    }
}

/// The category of files at the top that are named by their hash: `fetch` keeps sources so.
pub const SOURCES: &str = "sources";

/// The category of all other files there: no directory has this name.
pub const TOP: &str = ".";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_at_the_top_is_a_source_only_if_it_is_named_by_its_hash() {
        for (path, is_directory, expected) in [
            ("sha256:00", false, SOURCES),
            ("sha512:00", false, SOURCES),
            ("sha1:00", false, TOP),
            ("sha256", false, TOP),
            ("notes", false, TOP),
            ("pip", true, "pip"),
            ("pip/x", false, "pip"),
            ("sha256:00", true, "sha256:00"),
            ("sources/x", false, "sources"),
        ] {
            assert_eq!(category(path.as_bytes(), is_directory), expected, "{path}");
        }
    }
}
