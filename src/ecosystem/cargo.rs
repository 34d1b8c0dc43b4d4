//! Cargo: crates, repositories and the index. Only these directories of a `CARGO_HOME` lie in the cache.

use super::model::{Ecosystem, NOTHING, Scope};

pub(super) const CARGO: Ecosystem = Ecosystem {
    name: "cargo",
    scope: Scope::Always,
    directory: "cargo",
    variables: &[("CARGO_HOME", "/var/cache/melange/cargo")],
    // Programs (`bin`), configuration and credentials belong to one build; `registry/src` is unpacked from `registry/cache`.
    keeps: &["registry/index", "registry/cache", "git/db"],
    junk: &["**/.package-cache*", "**/*.lock"],
    rewritten: &["registry/index/*/.last-updated", "registry/index/*/config.json"],
    entry: "crate",
    units: &[
        "registry/cache/*/*.crate",
        "registry/src/*/*/",
        "git/db/*/",
        "git/checkouts/*/",
        // A registry that is a repository.
        "registry/index/*/.git/",
    ],
    ..NOTHING
};
