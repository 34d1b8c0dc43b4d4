//! ccache: object files.

use super::model::{Ecosystem, Lock, NOTHING};

pub(super) const CCACHE: Ecosystem = Ecosystem {
    name: "ccache",
    directory: "ccache",
    // A compiler is known by its content: images give all their files the same time.
    variables: &[("CCACHE_DIR", "/var/cache/melange/ccache"), ("CCACHE_COMPILERCHECK", "content")],
    path: &["/usr/lib/ccache", "/usr/lib/ccache/bin"],
    // Its configuration could loosen what counts as a hit.
    junk: &["tmp", "lock", "ccache.conf", "**/*.lock"],
    rewritten: &["**/stats", "**/CACHEDIR.TAG"],
    lock: Lock::Rename,
    entry: "object file",
    ..NOTHING
};
