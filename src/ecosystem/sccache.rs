//! sccache: object files.

use super::model::{Ecosystem, Lock, NOTHING};

pub(super) const SCCACHE: Ecosystem = Ecosystem {
    name: "sccache",
    directory: "sccache",
    variables: &[("SCCACHE_DIR", "/var/cache/melange/sccache")],
    junk: &["**/*.tmp", "**/.sccachetmp*"],
    lock: Lock::Rename,
    entry: "object file",
    unfinished: &["**/*.tmp", "**/.sccachetmp*"],
    ..NOTHING
};
