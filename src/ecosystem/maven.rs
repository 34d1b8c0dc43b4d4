//! Maven: a local repository.

use super::model::{Ecosystem, Lock, NOTHING, Scope};

pub(super) const MAVEN: Ecosystem = Ecosystem {
    name: "maven",
    scope: Scope::Always,
    directory: "m2repository",
    // No variable says where it is: the pipelines maven/* link ~/.m2/repository to it.
    junk: &["**/*.lastUpdated", "**/*.part", "**/*.tmp", ".locks"],
    rewritten: &["**/resolver-status.properties", "**/maven-metadata-*.xml"],
    lock: Lock::None,
    entry: "artifact",
    units: &["**/?"],
    unfinished: &["**/*.part", "**/*.tmp"],
    ..NOTHING
};
