//! A build of one step, by a share, and its output.

use std::{
    fmt::Write,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Output,
};

use data_encoding::BASE64;
use nix::unistd::geteuid;
use serde_json::Value;

use super::share::Share;
use crate::{leftovers::Leftovers, place::Place};

/// The root of every build.
const IMAGE: &str = "debian:bookworm+git,python3";
/// The longest that a step takes: 10 × 100,000 operations of fsx without KVM.
const STEP_TIMEOUT: &str = "6h";

/// The user that runs kiln, and with it QEMU, the daemon or kiln's device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Host {
    /// Root.
    Root,
    /// An ordinary user.
    User,
}

impl Host {
    /// The user that runs the test.
    pub(super) fn invoker() -> Self {
        if geteuid().is_root() { Self::Root } else { Self::User }
    }

    /// Why this user cannot run kiln here.
    pub(super) fn lacks(self) -> Option<&'static str> {
        (self == Self::Root && !geteuid().is_root()).then_some("only root can run kiln as root")
    }

    /// An empty place, with a source and a cache.
    pub(super) fn place(self) -> Place {
        let place = match (self, geteuid().is_root()) {
            (Self::User, true) => Place::of_ordinary_user(),
            (Self::Root | Self::User, _) => Place::new(),
        };
        for name in ["source", "cache"] {
            place.directory(name);
        }
        place
    }
}

/// Puts a file into the source.
pub(super) fn give(place: &Place, name: &str, content: &[u8]) {
    let path = place.project().join("source").join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    place.give_to_user(&path);
}

/// Puts a program into the source.
pub(super) fn give_program(place: &Place, program: &Path) {
    give(place, program.file_name().unwrap().to_str().unwrap(), &fs::read(program).unwrap());
}

/// Writes the build file of one step.
pub(super) fn write_build_file(place: &Place, run_as: &str, script: &str) {
    let mut text = format!(
        "package:\n  name: sample\n  version: 1.10\n  epoch: 3\nenvironment:\n  accounts:\n    run-as: {run_as}\npipeline:\n  - runs: |\n"
    );
    for line in script.lines() {
        writeln!(text, "      {line}").unwrap();
    }
    let path = place.project().join("file.yaml");
    fs::write(&path, text).unwrap();
    place.give_to_user(&path);
}

/// The arguments of `kiln build`, but for the share's own.
pub(super) const ARGUMENTS: [&str; 13] = [
    "build",
    "file.yaml",
    "--image",
    IMAGE,
    "--progress",
    "json",
    "--source-dir",
    "source",
    "--cache-dir",
    "cache",
    "--step-timeout",
    STEP_TIMEOUT,
    "--network=off",
];

/// Runs a script as the one step of a build, which must succeed and leave no process; what the step said.
pub(super) fn run(place: &Place, share: Share, run_as: &str, script: &str) -> String {
    write_build_file(place, run_as, script);
    let mut command = place.kiln();
    command.args(ARGUMENTS);
    share.choose(&mut command);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&stdout);
    let said: String = stdout.lines().map(output).collect();
    let error = String::from_utf8_lossy(&stderr);
    assert!(
        status.success(),
        "{share:?}: {status}: {said}\n{error}\n{}",
        stdout.lines().last().unwrap_or_default()
    );
    let left = Leftovers::count(place, Vec::new());
    assert!(left.processes().is_empty(), "{share:?}: {left}");
    said
}

/// What a step said in this event.
pub(super) fn output(event: &str) -> String {
    let event: Value = serde_json::from_str(event).unwrap();
    if event["event"] != "output" {
        return String::new();
    }
    match (event["text"].as_str(), event["base64"].as_str()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(bytes)) => {
            String::from_utf8_lossy(&BASE64.decode(bytes.as_bytes()).unwrap()).into_owned()
        }
        (None, None) => panic!("an output event without output: {event}"),
    }
}
