//! Packages, indexes and roots of kiln, judged by apk-tools 3.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::{
    everywhere::{PACKAGES, command, succeed},
    has_bwrap, skip,
};

/// Debian's static busybox, which is the shell of a root here.
const BUSYBOX: &str = "/usr/bin/busybox";

const NAMES: [&str; 3] = ["links", "links-static", "links-tools"];

/// A directory with apk-tools in it, downloaded once.
pub(crate) fn tools() -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("apk-tools-3.0.8");
    if !directory.exists() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sandbox/apk_tools.py");
        let made = Command::new("python3").arg(script).arg(&directory).output();
        let why = match made {
            Ok(output) if output.status.success() => return Some(directory),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        skip(&format!("apk-tools cannot be had: {why}"));
        return None;
    }
    Some(directory)
}

/// Runs apk in a directory.
pub(crate) fn apk(tools: &Path, directory: &Path, arguments: &[&str]) -> Output {
    let libraries = tools.join("usr/lib");
    let mut command = Command::new(libraries.join("ld-musl-x86_64.so.1"));
    command.arg("--library-path").arg(&libraries).arg(tools.join("usr/sbin/apk"));
    command.args(arguments).current_dir(directory).output().expect("apk can be started")
}

/// What a program has written.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn keygen(directory: &Path, keys: &str) {
    fs::create_dir(directory.join(keys)).expect("made");
    let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
    kiln.args(["keygen", "test.rsa", "--key-size", "2048"]).current_dir(directory.join(keys));
    assert!(kiln.status().expect("kiln can be started").success());
    // apk reads every file of the directory as a public key.
    fs::rename(directory.join(keys).join("test.rsa"), directory.join(format!("{keys}.rsa"))).expect("moved");
}

/// `apk add` of the packages into a new root, with this directory of keys.
fn add(tools: &Path, directory: &Path, keys: &str) -> Output {
    let keys = directory.join(keys).display().to_string();
    let repository = directory.join("packages").display().to_string();
    let mut arguments = vec!["--root", "root", "--arch", "x86_64", "--keys-dir", &keys];
    arguments.extend(["--repositories-file", "/dev/null", "--repository", &repository, "--initdb"]);
    arguments.extend(["--no-scripts", "--no-network", "--no-cache"]);
    if !nix::unistd::Uid::effective().is_root() {
        arguments.push("--usermode");
    }
    arguments.push("add");
    arguments.extend(NAMES);
    apk(tools, directory, &arguments)
}

#[test]
fn apk_verifies_and_installs_packages_by_the_key_alone() {
    let Some(tools) = tools().filter(|_| has_bwrap()) else { return };
    let directory = tempfile::tempdir().expect("a directory can be made");
    let at = directory.path();
    keygen(at, "keys");
    keygen(at, "wrong");
    fs::rename(at.join("keys.rsa"), at.join("test.rsa")).expect("moved");
    let mut build = command(at, PACKAGES, &["--runner", "bubblewrap", "--signing-key", "test.rsa"]);
    succeed(build.args(["--build-date", "2001-09-09T01:46:40Z"]));
    for name in NAMES {
        let package = format!("packages/x86_64/{name}-1.0.0-r0.apk");
        for (keys, good) in [("keys", true), ("wrong", false)] {
            let keys = at.join(keys).display().to_string();
            let output = apk(&tools, at, &["--keys-dir", &keys, "verify", &package]);
            assert_eq!(output.status.success(), good, "{}", said(&output));
        }
    }
    let refused = add(&tools, at, "wrong");
    assert!(!refused.status.success() && said(&refused).contains("BAD signature"), "{}", said(&refused));
    let added = add(&tools, at, "keys");
    assert!(added.status.success(), "{}", said(&added));
    let tool = fs::read_to_string(at.join("root/usr/bin/again")).expect("it was installed");
    assert_eq!(tool, "tool\n");
    let audit = apk(&tools, at, &["--root", "root", "audit", "--system"]);
    assert!(audit.status.success() && said(&audit).is_empty(), "{}", said(&audit));
}

/// A package with a shell, which is all that a root needs.
const SHELL: &str =
    "package: {name: shell, version: '1', epoch: 0, description: a shell, copyright: [{license: MIT}], checks: {disabled: [usrmerge]}}
pipeline:
- runs: |
    mkdir -p ${{targets.destdir}}/bin
    cp busybox ${{targets.destdir}}/bin/busybox
    for name in sh ls cat mkdir; do ln -s busybox ${{targets.destdir}}/bin/$name; done
";

/// apk reads the database of the root in which this step runs.
const READER: &str =
    "package: {name: reader, version: '1', epoch: 0, description: a reader, copyright: [{license: MIT}]}
environment:
  contents: {repositories: [./packages], keyring: [keys/test.rsa.pub], packages: [shell]}
pipeline:
- runs: |
    apk() { usr/lib/ld-musl-x86_64.so.1 --library-path usr/lib usr/sbin/apk \"$@\"; }
    [ \"$(apk info -v)\" = shell-1-r0 ]
    apk info --who-owns /bin/sh
    mkdir -p ${{targets.destdir}}
    audit=$(apk audit --system)
    [ -z \"$audit\" ] || { echo \"$audit\"; exit 1; }
";

#[test]
fn apk_reads_the_database_of_a_root_that_kiln_has_composed_of_its_own_packages() {
    let Some(tools) = tools().filter(|_| has_bwrap()) else { return };
    if !Path::new(BUSYBOX).exists() {
        return skip("there is no static busybox");
    }
    let directory = tempfile::tempdir().expect("a directory can be made");
    let at = directory.path();
    keygen(at, "keys");
    fs::rename(at.join("keys.rsa"), at.join("test.rsa")).expect("moved");
    fs::create_dir(at.join("source")).expect("made");
    fs::copy(BUSYBOX, at.join("source/busybox")).expect("copied");
    let arguments = ["--runner", "bubblewrap", "--signing-key", "test.rsa"];
    succeed(command(at, SHELL, &arguments).args(["--source-dir", "source"]));
    succeed(command(at, READER, &arguments).arg("--source-dir").arg(tools));
}
