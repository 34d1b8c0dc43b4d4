//! uv: wheels of Python packages, unpacked.

use super::model::{Ecosystem, NOTHING, Scope};

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
    ..NOTHING
};
