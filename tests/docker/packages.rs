//! What leaves a container as packages.

use super::{everywhere::build_packages, world::daemon};

#[test]
fn packages_are_whole_and_hold_nothing_of_the_moment() {
    let Some(_) = daemon() else { return };
    build_packages(&["--runner", "docker"]);
}
