//! npm: content by its hash (cacache), and an index that names it.

use super::model::{Ecosystem, Lock, NOTHING, Scope};

pub(super) const NPM: Ecosystem = Ecosystem {
    name: "npm",
    scope: Scope::Always,
    directory: "npm",
    variables: &[("npm_config_cache", "/var/cache/melange/npm")],
    // `_npx` holds programs that a later build would run.
    keeps: &["_cacache"],
    junk: &["_cacache/tmp", "_logs", "_npx", "_update-notifier-last-checked"],
    // A use of what is there is a line more.
    rewritten: &["_cacache/index-v5"],
    // Content is renamed into its place, but the index is appended to.
    lock: Lock::None,
    // What the index names by its hash goes with it.
    entry: "content by its hash",
    unfinished: &["_cacache/tmp/*"],
    ..NOTHING
};
