//! Composer: archives of PHP packages.

use super::model::{Ecosystem, Lock, NOTHING, Scope};

pub(super) const COMPOSER: Ecosystem = Ecosystem {
    name: "composer",
    scope: Scope::Always,
    directory: "composer",
    variables: &[("COMPOSER_CACHE_DIR", "/var/cache/melange/composer")],
    // Metadata that is fetched again when it is old. The archives of `files` are only touched.
    rewritten: &["repo", ".htaccess"],
    lock: Lock::None,
    entry: "archive",
    units: &["vcs/*/"],
    ..NOTHING
};
