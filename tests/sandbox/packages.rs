//! The packages of a sandbox.

use std::io::Read;

use super::{
    everywhere::{
        ACCOUNTS, PACKAGES, build_accounts, build_licensed, build_mount_table, build_packages, command,
        succeed,
    },
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
        let path = directory.path().join(format!("packages/x86_64/{name}-1.0.0-r0.apk"));
        // The control section has the build file, which names another user.
        let built = std::fs::read(path).expect("it was written");
        assert_eq!(data_hash(&built), data_hash(&bytes), "{name}");
    }
}

/// The digest of a package's data, as its `.PKGINFO` has it.
fn data_hash(package: &[u8]) -> String {
    let mut sections = Vec::new();
    flate2::read::MultiGzDecoder::new(package).read_to_end(&mut sections).expect("it is gzip");
    let text = String::from_utf8_lossy(&sections);
    let line = text.lines().find_map(|line| line.strip_prefix("datahash = "));
    line.expect("it has a digest").to_owned()
}

#[test]
fn licences_that_are_not_declared_are_told() {
    if has_bwrap() {
        build_licensed(&["--runner", "bubblewrap"]);
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

#[test]
fn accounts_and_paths_are_as_the_build_file_says() {
    if !has_bwrap() {
        return;
    }
    for (mode, keeps) in [("rw", true), ("discard", false), ("commit", true)] {
        build_accounts(&["--runner", "bubblewrap", "--cache-mode", mode], keeps);
    }
}

#[test]
fn accounts_and_paths_that_cannot_be_are_refused_with_their_places() {
    let change = |path: &str, rest: &str| format!("{{path: {path}, type: {rest}}}");
    let cases = [
        ("users", "{username: 'a:b'}".to_owned(), "invalid user name `a:b`"),
        ("users", "{username: '-x'}".into(), "invalid user name `-x`"),
        ("users", "{uid: 5}".into(), "invalid user name ``"),
        ("users", "{username: a, uid: 4294967295}".into(), "is not a uid or gid"),
        ("users", "{username: a, homedir: x}".into(), "an absolute path without `..` is expected, found `x`"),
        ("users", "{username: a, shell: '/a:b'}".into(), "has no `:` in a path"),
        ("groups", "{groupname: a, members: [\"b\\nc\"]}".into(), "invalid member name"),
        ("paths", change("x", "directory"), "an absolute path without `..` is expected, found `x`"),
        ("paths", change("/a/../b", "directory"), "an absolute path without `..` is expected"),
        ("paths", change("/a", "dirctory"), "unknown type `dirctory` of the path `/a`"),
        ("paths", change("/a", "symlink"), "the symlink `/a` needs a `source`"),
        ("paths", change("/a", "hardlink, source: b"), "an absolute source without `..` is expected"),
        ("paths", change("/a", "directory, permissions: 0o10000"), "are more than 0o7777"),
        (
            "paths",
            change("/var/cache/melange/x", "empty-file"),
            "/var/cache/melange is not part of the image",
        ),
        ("paths", change("/home/build", "permissions"), "/home/build is not part of the image"),
        ("paths", change("/proc/x", "empty-file"), "/proc is not part of the image"),
    ];
    for (key, value, why) in cases {
        let section = if key == "paths" {
            format!("paths: [{value}]")
        } else {
            format!("accounts: {{{key}: [{value}]}}")
        };
        let text = format!(
            "package: {{name: p, version: '1', epoch: 0}}\nenvironment:\n  {section}\npipeline: [{{runs: 'true'}}]\n"
        );
        let directory = tempfile::tempdir().expect("a directory can be made");
        let output = command(directory.path(), &text, &["--runner", "bubblewrap"]).output().expect("started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{text}{said}");
        assert!(said.contains(why), "{text}{said}");
    }
}

#[test]
fn a_path_does_not_lead_out_of_the_image_by_a_link() {
    if !has_bwrap() {
        return;
    }
    let made = ACCOUNTS.find("  paths:").map(|at| &ACCOUNTS[..at]).expect("it has paths");
    let text = format!(
        "{made}  paths:\n    - {{path: /opt/link, type: symlink, source: /var/cache/melange}}\n    \
         - {{path: /opt/link/x, type: empty-file, permissions: 0o4755}}\npipeline: [{{runs: 'true'}}]\n"
    );
    let directory = tempfile::tempdir().expect("a directory can be made");
    let output = command(directory.path(), &text, &["--runner", "bubblewrap", "--cache-mode", "rw"]).output();
    let output = output.expect("kiln can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    let why = "environment.paths: empty-file /opt/link/x: /var/cache/melange is a mount of this build";
    assert!(said.contains(why), "{said}");
    assert!(!directory.path().join("cache/x").exists());
}

#[test]
fn what_a_sandbox_does_not_follow_is_told() {
    if !has_bwrap() {
        return;
    }
    let text = "package:
  name: p
  version: '1'
  epoch: 0
  resources: {disk: 5Gi, cpumodel: host}
environment: {cmd: x}
pipeline: [{runs: 'true'}]
";
    let directory = tempfile::tempdir().expect("a directory can be made");
    let said = succeed(&mut command(directory.path(), text, &["--runner", "bubblewrap"]));
    for note in [
        "resources.disk: 5Gi has no effect with --runner bubblewrap: ",
        "resources.cpumodel: host has no effect with --runner bubblewrap: ",
        "file.yaml:6:15: `cmd` has no effect: ",
    ] {
        assert!(said.contains(note), "{note}\n{said}");
    }
}

#[test]
fn the_table_of_mounts_is_in_etc() {
    if !has_bwrap() {
        return;
    }
    build_mount_table(&["--runner", "bubblewrap"]);
}
