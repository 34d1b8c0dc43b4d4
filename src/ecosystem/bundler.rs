//! Bundler: gems.

use super::model::{Ecosystem, Lock, NOTHING};

pub(super) const BUNDLER: Ecosystem = Ecosystem {
    name: "bundler",
    directory: "bundler",
    variables: &[
        ("BUNDLE_USER_CACHE", "/var/cache/melange/bundler"),
        // Without it only the index is cached, not the gems.
        ("BUNDLE_GLOBAL_GEM_CACHE", "true"),
    ],
    rewritten: &["compact_index"],
    lock: Lock::None,
    entry: "gem",
    ..NOTHING
};
