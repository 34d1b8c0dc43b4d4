//! Bazel and Bazelisk: files by their hash.

use super::model::{Ecosystem, Lock, NOTHING};

pub(super) const BAZEL: Ecosystem = Ecosystem {
    name: "bazel",
    directory: "bazel",
    variables: &[("BAZELISK_HOME", "/var/cache/melange/bazel/bazelisk")],
    files: &[(
        "/etc/bazel.bazelrc",
        "common --repository_cache=/var/cache/melange/bazel/repository\n\
         common --disk_cache=/var/cache/melange/bazel/disk\n",
    )],
    junk: &["disk/tmp", "repository/tmp"],
    lock: Lock::Rename,
    entry: "file by its hash",
    units: &["repository/content_addressable/*/*/", "bazelisk/downloads/*/*/"],
    unfinished: &["disk/tmp/*", "repository/tmp/*"],
    ..NOTHING
};
