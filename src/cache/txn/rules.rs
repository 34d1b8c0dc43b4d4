//! FileType happens when two builds changed one path: one table, by kind of directory. FileType is kept at all says [`crate::ecosystem`].
//!
//! A conflict is a path that a build wants to replace and that another commit has put there since the build began. Where
//! the name stands for the content, what is there is as good as what comes: it stays ([`Rule::First`]), and a reader's file
//! is not pulled away. Where a tool keeps a database, an index or a list, the newer one knows no less about what its own
//! build stored: it wins ([`Rule::Last`]). So does what is named by its hash (sources, npm's content): what comes has been
//! checked ([`crate::cache::content_address`]), what is there may be damaged. Both are whole files; neither is ever mixed.

use crate::cache::content_address::{self, Claim};

/// FileType becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) enum Rule {
    /// In a conflict what is there stays.
    First,
    /// In a conflict the newer one wins.
    Last,
}

/// A row: a path begins with `below`, and ends with `ends` (empty: anything).
struct Row {
    below: &'static str,
    ends: &'static str,
    rule: Rule,
}

const fn row(below: &'static str, ends: &'static str, rule: Rule) -> Row {
    Row { below, ends, rule }
}

/// The first row that fits decides; none: [`Rule::Last`].
const TABLE: &[Row] = &[
    // Go: a module's files bear its version; lists of versions grow.
    row("gomodcache/cache/download/", "/@v/list", Rule::Last),
    row("gomodcache/cache/download/sumdb/", "/latest", Rule::Last),
    row("gomodcache/", "", Rule::First),
    // uv: archives have random names, wheels those of their content; pointers and locks change.
    row("uv/archive-v", "", Rule::First),
    row("uv/wheels-v", ".whl", Rule::First),
    // pip: names are hashes of URLs; a wheel that was built is as good as another.
    row("pip/wheels/", "", Rule::First),
    // Composer: archives bear their commit.
    row("composer/files/", "", Rule::First),
    // Cargo: crates bear their version, what is unpacked from them too; databases and indexes change.
    row("cargo/registry/cache/", "", Rule::First),
    row("cargo/registry/src/", "", Rule::First),
    row("cargo/git/db/", "", Rule::Last),
    row("cargo/git/checkouts/", "", Rule::First),
    // Maven: released artifacts do not change; what is known about them does.
    row("m2repository/", ".jar", Rule::First),
    row("m2repository/", ".pom", Rule::First),
    // git: objects and packs bear their hash; references move.
    row("git/", ".pack", Rule::First),
    row("git/", ".idx", Rule::First),
];

/// The rule for a path of the cache.
pub(in crate::cache) fn rule(path: &[u8]) -> Rule {
    let fits = |row: &&Row| path.starts_with(row.below.as_bytes()) && path.ends_with(row.ends.as_bytes());
    TABLE.iter().find(fits).map_or(Rule::Last, |row| row.rule)
}

/// The name under which an entry is counted: the directory at the top, or [`SOURCES`] or [`TOP`] for a file there.
pub(in crate::cache) fn kind(path: &[u8], is_directory: bool) -> String {
    match path.iter().position(|&byte| byte == b'/') {
        Some(slash) => String::from_utf8_lossy(&path[..slash]).into_owned(),
        None if is_directory => String::from_utf8_lossy(path).into_owned(),
        None if matches!(content_address::claim(path), Claim::Hash(_)) => SOURCES.into(),
        None => TOP.into(),
    }
}

/// Files directly in the cache directory that are named by their hash: `fetch` keeps sources so.
pub const SOURCES: &str = "sources";

/// All other files there: no directory is called so.
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
            assert_eq!(kind(path.as_bytes(), is_directory), expected, "{path}");
        }
    }

    #[test]
    fn names_that_say_their_content_stay_and_lists_are_renewed() {
        for (path, expected) in [
            ("gomodcache/cache/download/github.com/pkg/errors/@v/v0.9.1.zip", Rule::First),
            ("gomodcache/cache/download/github.com/pkg/errors/@v/list", Rule::Last),
            ("cargo/.global-cache", Rule::Last),
            ("cargo/registry/cache/i/itoa-1.0.9.crate", Rule::First),
            ("npm/_cacache/index-v5/00/11", Rule::Last),
            ("m2repository/a/b/1/b-1.jar", Rule::First),
            ("m2repository/a/b/1/_remote.repositories", Rule::Last),
            ("sha256:00", Rule::Last),
            ("anything", Rule::Last),
        ] {
            assert_eq!(rule(path.as_bytes()), expected, "{path}");
        }
    }
}
