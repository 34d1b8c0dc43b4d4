//! R: packages.

use super::model::{Ecosystem, NOTHING};

pub(super) const R: Ecosystem = Ecosystem {
    name: "r",
    directory: "r",
    variables: &[
        ("R_USER_CACHE_DIR", "/var/cache/melange/r"),
        ("RENV_PATHS_CACHE", "/var/cache/melange/r/renv"),
    ],
    junk: &["**/*-lock"],
    entry: "package",
    // Version, platform, package, version.
    units: &["renv/*/*/*/*/*/"],
    ..NOTHING
};
