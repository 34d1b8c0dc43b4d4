//! Yarn: packages, of 1.x and of later versions.

use super::model::{Ecosystem, Lock, NOTHING};

pub(super) const YARN: Ecosystem = Ecosystem {
    name: "yarn",
    directory: "yarn",
    // The first is of 1.x, the second of later ones, whose cache lies in it.
    variables: &[
        ("YARN_CACHE_FOLDER", "/var/cache/melange/yarn/cache"),
        ("YARN_GLOBAL_FOLDER", "/var/cache/melange/yarn/berry"),
    ],
    junk: &["**/.tmp", "berry/telemetry.json"],
    lock: Lock::Rename,
    entry: "package",
    units: &["cache/*/*/"],
    ..NOTHING
};
