//! Builds that use one cache at the same time: a build that waits says for which one and how long, and the others go on.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use kiln::{
    cache::{CARE, Lease, LockMode, Request, UPDATE, try_acquire},
    env::Env,
    home::Home,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{has_bwrap, project};

const BUILD: &str = "package:\n  name: sample\n  version: 1.10\n  epoch: 3\npipeline:\n  - runs: echo kept > /var/cache/melange/kept\n";

/// A project whose cache another build has for itself.
struct Place {
    _directory: tempfile::TempDir,
    project: PathBuf,
    lease: Option<Lease>,
}

impl Place {
    fn new() -> Self {
        Self::beside(LockMode::Exclusive)
    }

    fn beside(lock_mode: LockMode) -> Self {
        Self::used_by("another-1.0-r0, mode rw", lock_mode)
    }

    fn used_by(who: &str, lock_mode: LockMode) -> Self {
        let (directory, project) = project();
        let home = project.with_file_name("home");
        fs::create_dir(&home).expect("made");
        let shared = Home::find(&Env::of_process()).expect("found");
        for name in ["images", "memos"] {
            symlink(shared.dir(name).expect("made"), home.join(name)).expect("linked");
        }
        fs::create_dir(project.join("cache")).expect("made");
        fs::write(project.join("file.yaml"), BUILD).expect("written");
        let request = Request {
            directory: fs::canonicalize(project.join("cache")).expect("there"),
            lock_mode,
            who: who.into(),
            limit: Duration::ZERO,
        };
        let lease = try_acquire(&Home::at(&home), &request).expect("tried");
        Self { _directory: directory, project, lease }
    }

    fn kiln(&self, arguments: &[&str]) -> Command {
        let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
        kiln.current_dir(&self.project)
            .env("KILN_HOME", self.project.with_file_name("home"))
            .env("QEMU_DISKS_PATH", self.project.with_file_name("scratch"))
            .args(["build", "--runner", "bubblewrap", "--progress", "plain", "--cache-dir", "cache"])
            .args(arguments)
            .arg("file.yaml")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        kiln
    }

    fn kept(&self) -> bool {
        self.project.join("cache/kept").exists()
    }
}

#[test]
fn a_wait_that_takes_too_long_names_the_holder_of_the_cache() {
    if !has_bwrap() {
        return;
    }
    let place = Place::new();
    let output =
        place.kiln(&["--cache-mode", "rw", "--cache-wait", "1s"]).output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{said}");
    let who = format!("pid {} (another-1.0-r0, mode rw)", std::process::id());
    for part in [
        "waits, at most 1s, for the cache",
        &who,
        "was not free within 1s",
        "raise --cache-wait",
        ", wait 1.",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!place.kept());
}

#[test]
fn who_waits_goes_on_when_the_cache_is_free() {
    if !has_bwrap() {
        return;
    }
    for arguments in [&["--cache-mode", "rw"][..], &["--cache-mode", "commit", "--cache-sharing", "locked"]] {
        let mut place = Place::new();
        let mut kiln = place.kiln(arguments).spawn().expect("it can be started");
        let mut said = BufReader::new(kiln.stderr.take().expect("it was piped"));
        wait_for(&mut said, "waits, at most 3600s, for the cache");
        assert!(!place.kept());
        drop(place.lease.take());
        let mut rest = String::new();
        said.read_to_string(&mut rest).expect("read");
        assert!(kiln.wait().expect("it ends").success(), "{arguments:?}: {rest}");
        assert!(place.kept(), "{arguments:?}: {rest}");
    }
}

#[test]
fn a_build_with_private_sharing_waits_for_a_command_that_is_no_build() {
    if !has_bwrap() {
        return;
    }
    for who in [CARE, UPDATE] {
        let mut place = Place::used_by(who, LockMode::Shared);
        let arguments = ["--cache-mode", "rw", "--cache-sharing", "private"];
        let mut kiln = place.kiln(&arguments).spawn().expect("it can be started");
        let mut said = BufReader::new(kiln.stderr.take().expect("it was piped"));
        wait_for(&mut said, "waits, at most 3600s, for the cache");
        drop(place.lease.take());
        let mut rest = String::new();
        said.read_to_string(&mut rest).expect("read");
        assert!(kiln.wait().expect("it ends").success() && place.kept(), "{who}: {rest}");
    }
}

#[test]
fn who_has_a_directory_of_its_own_does_not_wait() {
    if !has_bwrap() {
        return;
    }
    let place = Place::new();
    let arguments = ["--cache-mode", "rw", "--cache-sharing", "private"];
    let output = place.kiln(&arguments).output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!place.kept());
    let (_, own) = said.split_once("this build uses a cache of its own, ").expect("it says where");
    let own = Path::new(own.lines().next().expect("a line").trim());
    assert_eq!(fs::read_to_string(own.join("kept")).expect("kept there"), "kept\n");
}

#[test]
fn who_commits_waits_for_a_commit_and_is_heard_meanwhile() {
    if !has_bwrap() {
        return;
    }
    // Long enough for the turn to be taken while it runs.
    let build = "package:\n  name: sample\n  version: 1.10\n  epoch: 3\npipeline:\n  - runs: echo kept > /var/cache/melange/kept; sleep 3\n";
    for signal in [None, Some(Signal::SIGINT), Some(Signal::SIGTERM)] {
        let place = Place::beside(LockMode::Shared);
        fs::write(place.project.join("file.yaml"), build).expect("written");
        let mut kiln = place.kiln(&["--cache-mode", "commit"]).spawn().expect("it can be started");
        let pid = Pid::from_raw(kiln.id().try_into().expect("a process"));
        let mut said = BufReader::new(kiln.stderr.take().expect("it was piped"));
        wait_for(&mut said, "] started");
        let turn = place.lease.as_ref().expect("held").lock_commits().expect("taken");
        let words = "warning: waits, at most 3600s, for a commit into the cache ";
        let line = wait_for(&mut said, words);
        assert!(line.starts_with(words), "{line}");
        assert!(line.contains("(another-1.0-r0, mode rw)") && !line.contains("sample"), "{line}");
        let held = signal.map(|signal| kill(pid, signal).map(|()| turn).expect("sent"));
        let mut rest = String::new();
        said.read_to_string(&mut rest).expect("read");
        let code = kiln.wait().expect("it ends").code();
        let wanted = match signal {
            None => 0,
            Some(Signal::SIGINT) => 130,
            Some(_) => 143,
        };
        assert_eq!((code, place.kept()), (Some(wanted), signal.is_none()), "{rest}");
        drop(held);
        assert!(!place.project.join("cache/.kiln").exists(), "{rest}");
    }
}

/// The line with these words.
fn wait_for(said: &mut impl BufRead, words: &str) -> String {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        assert_ne!(said.read_line(&mut line).expect("read"), 0, "it has not said {words:?}: {all}");
        if line.contains(words) {
            return line;
        }
        all += &line;
    }
}
