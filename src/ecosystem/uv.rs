//! uv: wheels of Python packages, unpacked.

use super::model::{Conflict, Ecosystem, NOTHING, Rule, Scope};

pub(super) const UV: Ecosystem = Ecosystem {
    name: "uv",
    scope: Scope::Always,
    directory: "uv",
    variables: &[("UV_CACHE_DIR", "/var/cache/melange/uv")],
    junk: &["**/.lock", "**/*.lock", "builds-v0", ".tmp*"],
    rewritten: &["CACHEDIR.TAG", ".gitignore", ".git", "simple-v*", "interpreter-v*"],
    entry: "unpacked wheel",
    units: &[
        "archive-v*/*/",
        "sdists-v*/pypi/*/*/",
        "sdists-v*/index/*/*/*/",
        "sdists-v*/*/*/",
        "git-v*/db/*/",
        "git-v*/checkouts/*/*/",
    ],
    unfinished: &[".tmp*"],
    // Archives have random names, wheels those of their content; pointers and locks change.
    conflicts: &[Conflict::of("archive-v", "", Rule::First), Conflict::of("wheels-v", ".whl", Rule::First)],
    repositories: &["git-v0/db/"],
    ..NOTHING
};
