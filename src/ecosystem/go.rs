//! Go: modules (`GOMODCACHE`) and compiled packages (`GOCACHE`).

use super::model::{Ecosystem, Lock, NOTHING, Scope};

pub(super) const GO: Ecosystem = Ecosystem {
    name: "go",
    scope: Scope::Always,
    directory: "gomodcache",
    variables: &[("GOMODCACHE", "/var/cache/melange/gomodcache")],
    // Empty files that mean something only to running processes.
    junk: &["cache/lock", "cache/download/**/*.lock", "cache/vcs/*.lock"],
    entry: "module version",
    units: &[
        "cache/download/**/@v/*.info",
        "cache/download/**/@v/*.mod",
        "cache/download/**/@v/*.zip",
        "cache/download/**/@v/*.ziphash",
        "cache/download/**/@v/*.lock",
        "cache/download/**/@v/*.partial",
        "cache/vcs/*.info",
        "cache/vcs/*.lock",
        "cache/vcs/*/",
        "**/*@*/",
    ],
    unfinished: &["cache/download/**/@v/*.tmp", "cache/download/**/@v/*.partial"],
    ..NOTHING
};

pub(super) const GOCACHE: Ecosystem = Ecosystem {
    name: "gocache",
    directory: "gocache",
    variables: &[("GOCACHE", "/var/cache/melange/gocache")],
    rewritten: &["trim.txt", "testexpire.txt", "README"],
    lock: Lock::Rename,
    entry: "compiled package",
    ..NOTHING
};
