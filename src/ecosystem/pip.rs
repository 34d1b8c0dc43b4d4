//! pip: answers of an index, and wheels that it has built.

use super::model::{Conflict, Ecosystem, Lock, NOTHING, Rule, Scope};

pub(super) const PIP: Ecosystem = Ecosystem {
    name: "pip",
    scope: Scope::Always,
    directory: "pip",
    variables: &[("PIP_CACHE_DIR", "/var/cache/melange/pip")],
    junk: &["selfcheck", "**/*.lock"],
    rewritten: &["http", "http-v2"],
    lock: Lock::Rename,
    entry: "answer or built wheel",
    units: &["wheels/*/*/*/*/", "http-v2/**/*.body", "http-v2/**/*"],
    // Names are hashes of URLs; a wheel that was built is as good as another.
    conflicts: &[Conflict::of("wheels/", "", Rule::First)],
    ..NOTHING
};
