//! Gradle: artifacts, and its own versions.

use super::model::{Ecosystem, NOTHING};

pub(super) const GRADLE: Ecosystem = Ecosystem {
    name: "gradle",
    directory: "gradle",
    variables: &[("GRADLE_USER_HOME", "/var/cache/melange/gradle")],
    // `init.d` and `gradle.properties` would change later builds.
    keeps: &["caches", "wrapper", "native"],
    junk: &["caches/journal-1", "caches/**/*.tmp"],
    entry: "artifact",
    units: &[
        "caches/modules-2/files-2.1/*/*/*/",
        "caches/modules-2/**/*",
        "caches/*/*/",
        "wrapper/dists/*/*/",
        "native/*/",
    ],
    ..NOTHING
};
