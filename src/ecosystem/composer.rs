//! Composer: archives of PHP packages.

use super::model::{Conflict, Ecosystem, Lock, NOTHING, Rule, Scope};

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
    // Archives bear their commit.
    conflicts: &[Conflict::of("files/", "", Rule::First)],
    repositories: &["vcs/"],
    ..NOTHING
};
