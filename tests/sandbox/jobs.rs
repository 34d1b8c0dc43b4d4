//! Several build files of one command: their order, what a failure stops, and what an interrupted command has finished.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    apk_repository::{self, BUSYBOX},
    has_bwrap, skip,
};

/// What never happens within this time does not happen.
const LIMIT: Duration = Duration::from_secs(120);

/// The builds, and the packages of each one's guest.
const BUILDS: [(&str, &[&str]); 12] = [
    ("end", &["c1", "b3"]),
    ("c1", &["b1", "b2"]),
    ("b1", &["a1", "a2"]),
    ("b2", &["a3"]),
    ("b3", &["a4"]),
    ("a1", &["first"]),
    ("a2", &["first"]),
    ("a3", &["first"]),
    ("a4", &["first"]),
    ("after", &["bad"]),
    ("bad", &["first"]),
    ("first", &[]),
];

/// A build file whose step needs the files of these packages, and leaves its own.
fn definition(name: &str, needs: &[&str], step: &str) -> String {
    let packages: String = needs.iter().map(|need| format!("      - {need}\n")).collect();
    let tests: String = needs.iter().map(|need| format!("      test -e /usr/share/{need}/file\n")).collect();
    format!(
        "package: {{name: {name}, version: '1', epoch: 0}}
environment:
  contents:
    repositories: [./repo-base]
    keyring: [./testix.rsa.pub]
    packages:
      - busybox
{packages}pipeline:
  - runs: |
{tests}      {step}
      mkdir -p \"${{{{targets.destdir}}}}/usr/share/{name}\"
      echo {name} > \"${{{{targets.destdir}}}}/usr/share/{name}/file\"
"
    )
}

fn project() -> Option<tempfile::TempDir> {
    if !has_bwrap() {
        return None;
    }
    if !Path::new(BUSYBOX).exists() {
        skip("there is no busybox for a root");
        return None;
    }
    let directory = tempfile::tempdir().expect("a directory can be made");
    apk_repository::write(directory.path());
    fs::create_dir(directory.path().join("files")).expect("made");
    Some(directory)
}

fn write(project: &Path, name: &str, needs: &[&str], step: &str) {
    fs::write(project.join(format!("files/{name}.yaml")), definition(name, needs, step)).expect("written");
}

/// Not one word, nor a value that an option or a list holds unquoted.
const OUT_DIR: &str = "the packages, \"1\" 'x' @y";

fn kiln(project: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.current_dir(project).env("KILN_HOME", project.join("home")).stdin(Stdio::null());
    command.args(["build", "files", "--runner", "bubblewrap", "--jobs", "2", "--cache-dir", ""]);
    command.args(["--signing-key", "testix.rsa", "--out-dir", OUT_DIR]);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn builds_come_after_their_needs_and_a_failure_stops_only_what_needs_it() {
    let Some(directory) = project() else { return };
    let project = directory.path();
    for (name, needs) in BUILDS {
        // The source of a build is the directory of its file.
        let step = if name == "bad" { "test -e ok" } else { "true" };
        write(project, name, needs, step);
    }
    let output = kiln(project).output().expect("kiln can be started");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(5), "{text}");
    assert!(text.contains("builds: 10 succeeded, 1 failed, 1 not run"), "{text}");
    assert!(text.contains("not run  after-1-r0  it needs bad-1-r0"), "{text}");
    assert!(project.join(OUT_DIR).join("x86_64/end-1-r0.apk").exists(), "{text}");
    assert!(!project.join(OUT_DIR).join("x86_64/after-1-r0.apk").exists(), "{text}");

    fs::write(project.join("files/ok"), "").expect("written");
    // A package that is no longer there is built again.
    fs::remove_file(project.join(OUT_DIR).join("x86_64/end-1-r0.apk")).expect("removed");
    let output = kiln(project).output().expect("kiln can be started");
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches("finished by an earlier run").count(), 9, "{text}");
    assert!(project.join(OUT_DIR).join("x86_64/end-1-r0.apk").exists(), "{text}");
    assert!(project.join(OUT_DIR).join("x86_64/after-1-r0.apk").exists(), "{text}");
    // A complete run leaves nothing to go on with.
    let jobs = fs::read_dir(project.join("home/jobs")).expect("readable").count();
    assert_eq!(jobs, 0, "{text}");
}

#[test]
fn a_killed_command_goes_on_where_it_ended_and_leaves_no_process() {
    let Some(directory) = project() else { return };
    let project = directory.path();
    write(project, "one", &[], "true");
    write(project, "two", &["one"], "test -e quick || sleep 1000");
    let mut kiln_that_is_killed = kiln(project);
    let mut child = kiln_that_is_killed.stderr(Stdio::null()).spawn().expect("kiln can be started");
    wait(|| finished(project) == ["one-1-r0"]);
    wait(|| processes(project) > 2);
    child.kill().expect("it is there");
    child.wait().expect("it has ended");
    wait(|| processes(project) == 0);

    fs::write(project.join("files/quick"), "").expect("written");
    let output = kiln(project).output().expect("kiln can be started");
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("ok       one-1-r0  finished by an earlier run"), "{text}");
    assert!(text.contains("builds: 2 succeeded, 0 failed, 0 not run"), "{text}");
}

#[test]
fn a_signal_ends_all_builds_with_its_own_code() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let Some(directory) = project() else { return };
        let project = directory.path();
        for name in ["one", "two", "three"] {
            write(project, name, &[], "echo sleeping; sleep 1000");
        }
        let child = kiln(project).stderr(Stdio::piped()).spawn().expect("kiln can be started");
        wait(|| sleepers(project) == 2);
        kill(Pid::from_raw(child.id().cast_signed()), signal).expect("it is there");
        let output = child.wait_with_output().expect("it ends");
        let text = said(&output);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains("builds: 0 succeeded, 0 failed, 3 not run"), "{text}");
        assert!(text.contains("] sleeping"), "what they have said is shown: {text}");
        wait(|| processes(project) == 0);
    }
}

/// How many builds have said that they sleep, by their logs.
fn sleepers(project: &Path) -> usize {
    let logs = fs::read_dir(project.join("home/logs")).into_iter().flatten().flatten();
    let said = |log: fs::DirEntry| fs::read_to_string(log.path().join("output.log")).unwrap_or_default();
    logs.filter(|log| log.path().is_dir()).map(said).filter(|text| text.contains("sleeping\n")).count()
}

fn wait(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < LIMIT, "it does not happen");
        sleep(Duration::from_millis(50));
    }
}

/// The builds that are in the journal.
fn finished(project: &Path) -> Vec<String> {
    let Ok(journals) = fs::read_dir(project.join("home/jobs")) else { return Vec::new() };
    let read = |entry: fs::DirEntry| fs::read_to_string(entry.path()).unwrap_or_default();
    let text: String = journals.flatten().map(read).collect();
    text.lines().map(str::to_owned).collect()
}

/// How many processes work in the project's directory.
fn processes(project: &Path) -> usize {
    let all = fs::read_dir("/proc").expect("readable").flatten();
    all.filter(|entry| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == project)).count()
}

/// Tests of a package and of its subpackages, the last of which fails.
const TESTED: &str = "
test:
  environment: {contents: {packages: [busybox]}}
  pipeline:
    - runs: |
        test -e /usr/share/tested/file
        test ! -e /usr/share/tested-dev/file
subpackages:
  - name: tested-dev
    pipeline:
      - runs: mkdir -p ${{targets.contextdir}}/usr/share/tested-dev; touch ${{targets.contextdir}}/usr/share/tested-dev/file
    test:
      environment: {contents: {packages: [busybox]}}
      pipeline: [{runs: test -e /usr/share/tested-dev/file && test ! -e /usr/share/tested/file}]
  - name: tested-doc
    test:
      environment: {contents: {packages: [busybox]}}
      pipeline: [{runs: echo no pages & exit 3}]
";

#[test]
fn each_package_is_tested_in_a_guest_that_has_it_and_nothing_else_of_the_build() {
    let Some(directory) = project() else { return };
    let project = directory.path();
    let text = definition("tested", &[], "true") + TESTED;
    fs::write(project.join("files/tested.yaml"), text).expect("written");
    let built = kiln(project).output().expect("kiln can be started");
    assert!(built.status.success(), "{}", said(&built));
    // -r takes a list: a comma is not part of a name.
    std::os::unix::fs::symlink(OUT_DIR, project.join("my packages")).expect("made");

    let test = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.current_dir(project).env("KILN_HOME", project.join("home")).stdin(Stdio::null());
        command.args(["test", "files/tested.yaml", "--runner", "bubblewrap", "-r", "./my packages"]);
        command.args(["-r", "./repo-base", "-k", "./testix.rsa.pub"]).args(more);
        command.output().expect("kiln can be started")
    };
    let all = test(&["--jobs", "2", "--junit", "results.xml", "--json"]);
    let text = said(&all);
    assert_eq!(all.status.code(), Some(5), "{text}");
    let json: serde_json::Value = serde_json::from_slice(&all.stdout).expect("one document");
    let outcomes: Vec<(&str, &str)> = json["jobs"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|job| (job["name"].as_str().expect("a name"), job["outcome"].as_str().expect("an outcome")))
        .collect();
    let expected = [("tested", "succeeded"), ("tested-dev", "succeeded"), ("tested-doc", "failed")];
    assert_eq!(outcomes, expected, "{text}");
    assert_eq!(json["jobs"][2]["exit_code"], 5);
    let junit = fs::read_to_string(project.join("results.xml")).expect("written");
    assert!(junit.contains("tests=\"3\" failures=\"1\""), "{junit}");

    let nowhere = test(&["--junit", "gone/results.xml"]);
    assert_eq!(nowhere.status.code(), Some(4), "{}", said(&nowhere));
    assert!(said(&nowhere).contains("--junit: gone/results.xml cannot be written"), "{}", said(&nowhere));
    assert!(!said(&nowhere).contains("started"), "no test runs before: {}", said(&nowhere));
    let one = test(&["--only", "tested-dev"]);
    assert!(one.status.success(), "{}", said(&one));
    let unknown = test(&["--only", "tested-lib"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", said(&unknown));
    assert!(said(&unknown).contains("did you mean tested"), "{}", said(&unknown));
}
