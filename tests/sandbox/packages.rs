//! What leaves a sandbox as packages.

use super::{
    everywhere::{PACKAGES, build_packages, command, succeed},
    has_bwrap,
};

#[test]
fn packages_are_whole_and_the_same_bytes_at_any_time_and_for_any_user() {
    if !has_bwrap() {
        return;
    }
    let first = build_packages(&["--runner", "bubblewrap"]);
    assert_eq!(build_packages(&["--runner", "bubblewrap", "--build-date", "2026-01-31T12:00:00Z"]), first);
    let directory = tempfile::tempdir().expect("a directory can be made");
    let as_build =
        PACKAGES.replace("environment:\n  env", "environment:\n  accounts: {run-as: build}\n  env");
    let mut by_flag = command(directory.path(), &as_build, &["--runner", "bubblewrap"]);
    // An empty variable is as one that is not set.
    by_flag.args(["--build-date", "2001-09-09T03:46:40+02:00"]).env("SOURCE_DATE_EPOCH", "");
    succeed(&mut by_flag);
    for (name, bytes) in ["links", "links-static", "links-tools"].iter().zip(first) {
        let path = directory.path().join(format!("packages/x86_64/{name}-1.0.0-r0.tar.zst"));
        assert!(std::fs::read(path).expect("written") == bytes, "{name} differs");
    }
}

#[test]
fn a_build_date_that_is_none_is_refused_before_anything_starts() {
    for (name, value) in [
        ("SOURCE_DATE_EPOCH", "soon"),
        ("SOURCE_DATE_EPOCH", "1.5"),
        ("SOURCE_DATE_EPOCH", "9223372036854775807"),
    ] {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let output =
            command(directory.path(), PACKAGES, &["--runner", "bubblewrap"]).env(name, value).output();
        let output = output.expect("kiln can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(name) && said.contains(value), "{said}");
    }
}
