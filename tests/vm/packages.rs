//! What leaves a microVM as packages.

use super::everywhere::build_packages;

#[test]
fn packages_are_whole_and_hold_nothing_of_the_moment() {
    build_packages(&["--accel", "tcg", "--memory", "1Gi"]);
}
