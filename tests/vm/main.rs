//! Real builds in real microVMs, under TCG: their results and their leftovers.

mod apk_cases;
#[path = "../it/apk_repository.rs"]
mod apk_repository;
mod apk_root;
#[path = "../it/authority.rs"]
mod authority;
mod bench_io;
mod border;
#[expect(dead_code, reason = "a microVM has a kernel of its own, and no filter")]
#[path = "../it/confinement.rs"]
mod calls;
mod cargo;
mod clock;
#[path = "../it/composed_root.rs"]
mod composed_root;
mod ecosystems;
mod embedded;
#[path = "../it/everywhere.rs"]
mod everywhere;
mod failures;
#[path = "../it/fragments.rs"]
mod fragments;
mod host_settings;
#[path = "../it/host_settings.rs"]
mod host_settings_cases;
mod interactive;
mod overrides;
mod packages;
#[path = "../it/proxy.rs"]
mod proxy;
#[expect(dead_code, reason = "the tests of sandboxes use the rest")]
#[path = "../sandbox/pty.rs"]
mod pty;
#[expect(dead_code, reason = "mv is for where rename does not work")]
#[path = "../it/renames.rs"]
mod renames;
#[expect(dead_code, reason = "a cache that cannot be written is tested where a build starts at once")]
#[path = "../it/reuse.rs"]
mod reuse;
mod rights;
mod room;
mod source;
#[expect(dead_code, reason = "what is the same in every backend is tested where it is quick")]
#[path = "../it/step_cause.rs"]
mod step_cause;
#[path = "../it/rights.rs"]
mod step_rights;
mod steps;
mod warm;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

fn kiln(directory: &Path) -> Command {
    with_cache(directory, "cache")
}

/// `kiln build` in a directory, with this `--cache-dir`.
fn with_cache(directory: &Path, cache: &str) -> Command {
    build_command(directory, cache, "plain")
}

/// A build with this `--progress`.
fn build_command(directory: &Path, cache: &str, progress: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command
        .current_dir(directory)
        .env_remove("QEMU_USE_VIRTIOFS")
        .env_remove("KILN_VIRTIOFSD")
        .args([
            "build",
            "--accel",
            "tcg",
            "--progress",
            progress,
            "--memory",
            "1Gi",
            "--cache-dir",
            cache,
            "file.yaml",
        ])
        .stdin(Stdio::null());
    command
}

/// A directory with a build file of these steps.
fn project(run_as: &str, steps: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let mut text = format!(
        "package:\n  name: sample\n  version: 1.10\n  epoch: 3\nenvironment:\n  accounts:\n    run-as: {run_as}\npipeline:\n"
    );
    for step in steps {
        let step = step.replace('\n', "\n      ");
        text += &format!("  - runs: |\n      {step}\n");
    }
    fs::write(directory.path().join("file.yaml"), text).expect("the build file can be written");
    directory
}

/// A state directory whose logs and run directories are its own, and whose images and kernels are those of the user's home.
fn home_of_its_own() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a directory can be made");
    let everybodys = kiln::home::Home::find(&kiln::env::Env::of_process()).expect("there is one");
    for name in ["accelerator", "bin", "images", "initramfs", "kernels", "memos", "vmlinux"] {
        let directory = everybodys.dir(name).expect("it can be made");
        std::os::unix::fs::symlink(directory, home.path().join(name)).expect("linked");
    }
    home
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Reads the source and the cache, writes both, and leaves a file in the package.
const WORK: &str = "test \"$(cat input)\" = from-the-host
cat /var/cache/melange/pip/used /var/cache/melange/pip/used > twice
echo changed > input
cat /var/cache/melange/kept 2>/dev/null || echo nothing is kept
echo kept > /var/cache/melange/kept
mkdir -p ${{targets.destdir}}/usr/bin
cp input ${{targets.destdir}}/usr/bin/sample";

fn build(run_as: &str, virtiofs: bool) -> (tempfile::TempDir, Output) {
    let directory = project(run_as, &[WORK, calls::AGENT_IS_CLOSED]);
    fs::write(directory.path().join("input"), "from-the-host\n").expect("written");
    fs::create_dir_all(directory.path().join("cache/pip")).expect("made");
    for (name, size) in [("used", 1000), ("unused", 30)] {
        fs::write(directory.path().join("cache/pip").join(name), vec![b'x'; size]).expect("written");
    }
    let mut command = kiln(directory.path());
    if virtiofs {
        command.env("QEMU_USE_VIRTIOFS", "1");
    }
    let output = command.output().expect("kiln can be started");
    assert!(output.status.success(), "{}", said(&output));
    // Files of the cache that the build has read, each once, without those that it wrote.
    assert!(said(&output).contains("used 1000 B, "), "{}", said(&output));
    (directory, output)
}

#[test]
fn by_9p_a_build_leaves_its_package_and_nothing_else() {
    for run_as in ["root", "build"] {
        let (directory, output) = build(run_as, false);
        let artifact = directory.path().join("packages/x86_64/sample-1.10-r3.apk");
        assert!(artifact.is_file(), "{}", said(&output));
        assert_eq!(
            fs::read_to_string(directory.path().join("input")).expect("it is there"),
            "from-the-host\n"
        );
        let cache = fs::read_dir(directory.path().join("cache")).expect("it was made");
        let names: Vec<_> = cache.map(|entry| entry.expect("listed").file_name()).collect();
        assert_eq!(names, ["pip"]);
        assert!(said(&output).contains("writes are discarded"), "{}", said(&output));
    }
}

#[test]
fn by_virtiofs_the_cache_is_kept() {
    let (directory, output) = build("root", true);
    let kept = directory.path().join("cache/kept");
    assert_eq!(fs::read_to_string(&kept).expect("it was kept"), "kept\n", "{}", said(&output));
    let again = kiln(directory.path()).env("QEMU_USE_VIRTIOFS", "1").output().expect("kiln can be started");
    assert!(again.status.success() && said(&again).contains("] kept\n"), "{}", said(&again));
}

#[test]
fn what_is_used_is_what_was_opened_by_each_share() {
    for (virtiofs, mode) in [(false, "discard"), (true, "rw"), (true, "commit"), (true, "rw")] {
        reuse::is_counted(&format!("{virtiofs} {mode}"), || {
            let directory = project("root", &[reuse::STEP]);
            let expected = reuse::fill(&directory.path().join("cache"));
            let mut command = build_command(directory.path(), "cache", "json");
            command.args(["--cache-mode", mode]);
            if virtiofs {
                command.env("QEMU_USE_VIRTIOFS", "1");
            }
            let output = command.output().expect("kiln can be started");
            assert!(output.status.success(), "{}", said(&output));
            (reuse::reported(&output.stdout), expected)
        });
    }
}

#[test]
fn what_is_thrown_away_is_said_and_how_to_keep_it() {
    let directory = project("root", &[reuse::WRITE]);
    reuse::fill(&directory.path().join("cache"));
    let output = kiln(directory.path()).output().expect("kiln can be started");
    assert!(output.status.success(), "{}", said(&output));
    reuse::thrown_away(&said(&output), 102);
    assert!(
        said(&output).contains("by 9p writes are discarded; QEMU_USE_VIRTIOFS=1 or "),
        "{}",
        said(&output)
    );
}

#[test]
fn a_failed_step_gives_its_status_and_its_last_lines() {
    let directory = project("root", &["echo the last line; exit 7"]);
    let output = kiln(directory.path()).output().expect("kiln can be started");
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("exited with status 7"), "{}", said(&output));
    assert!(said(&output).contains("the last line"), "{}", said(&output));
    assert!(!directory.path().join("packages").join("x86_64").join("sample-1.10-r3.apk").exists());
}

#[test]
fn a_guest_that_is_not_there_in_time_is_a_time_out() {
    let directory = project("root", &["true"]);
    let output =
        kiln(directory.path()).args(["--boot-timeout", "20ms"]).output().expect("kiln can be started");
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    assert!(said(&output).contains("the guest was not ready within 20ms"), "{}", said(&output));
}

#[test]
fn the_first_signal_ends_a_build_with_its_own_code() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let directory = project("root", &["sleep 1000"]);
        let mut kiln = kiln(directory.path()).stderr(Stdio::piped()).spawn().expect("kiln can be started");
        let mut lines = BufReader::new(kiln.stderr.take().expect("it is piped")).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line.contains("started"))), "no step was started");
        kill(Pid::from_raw(kiln.id().cast_signed()), signal).expect("it is there");
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        let status = kiln.wait().expect("it ends");
        assert_eq!(status.code(), Some(code), "{rest:?}");
    }
}
