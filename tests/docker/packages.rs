//! The packages of a container.

use super::{
    everywhere::{build_accounts, build_licensed, build_mount_table, build_packages},
    world::daemon,
};

#[test]
fn packages_are_whole_and_hold_nothing_of_the_moment() {
    let Some(_) = daemon() else { return };
    build_packages(&["--runner", "docker"]);
}

#[test]
fn accounts_and_paths_are_as_the_build_file_says() {
    let Some(_) = daemon() else { return };
    for (mode, keeps) in [("rw", true), ("discard", false)] {
        build_accounts(&["--runner", "docker", "--cache-mode", mode], keeps);
    }
}

#[test]
fn licences_that_are_not_declared_are_told() {
    let Some(_) = daemon() else { return };
    build_licensed(&["--runner", "docker"]);
}

#[test]
fn the_table_of_mounts_is_in_etc() {
    let Some(_) = daemon() else { return };
    build_mount_table(&["--runner", "docker"]);
}
