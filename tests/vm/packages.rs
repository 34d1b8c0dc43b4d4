//! The packages of a microVM.

use super::everywhere::{build_accounts, build_licensed, build_mount_table, build_packages};

#[test]
fn packages_are_whole_and_hold_nothing_of_the_moment() {
    build_packages(&["--accel", "tcg", "--memory", "1Gi"]);
}

#[test]
fn accounts_and_paths_are_as_the_build_file_says() {
    build_accounts(&["--accel", "tcg", "--memory", "1Gi", "--cache-mode", "commit"], true);
    build_accounts(&["--accel", "tcg", "--memory", "1Gi", "--virtiofsd", "spawned"], true);
}

#[test]
fn licences_that_are_not_declared_are_told() {
    build_licensed(&["--accel", "tcg", "--memory", "1Gi"]);
}

#[test]
fn the_table_of_mounts_is_in_etc() {
    build_mount_table(&["--accel", "tcg", "--memory", "1Gi"]);
}
