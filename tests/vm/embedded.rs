//! The cache by kiln's own virtiofs device: what is kept, whose it is, and the end of the device under a build.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, getegid, geteuid},
};

use super::{kiln, project, said};

/// Writes with all that a cache needs: a directory, a link, a rename, a file that its owner cannot write, and much at once.
const WRITE: &str = "cd /var/cache/melange
echo once more >> log
mkdir -p deep/er
echo 1 > deep/er/new
chmod 444 deep/er/new
mv deep/er/new deep/er/file
ln -sf file deep/er/link
ln -f deep/er/file hard
dd if=/dev/zero of=big bs=1M count=5 conv=fsync status=none
test \"$(stat -c %u:%g:%a hard)\" = \"$(id -u):$(id -g):444\"
wc -l < log | sed 's/^/lines: /'";

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("it is a directory");
    let paths = entries.map(|entry| entry.expect("listed").path());
    paths
        .flat_map(|path| if path.is_dir() && !path.is_symlink() { files(&path) } else { vec![path] })
        .collect()
}

#[test]
fn two_builds_write_straight_into_the_cache_and_the_files_are_the_users() {
    for (run_as, arguments) in [
        ("root", &["--virtiofsd", "embedded"][..]),
        // Without a name it is this server, too, alone in the cache or not.
        ("build", &["--cache-mode", "rw", "--cache-sharing", "shared"]),
    ] {
        let directory = project(run_as, &[WRITE]);
        for lines in ["lines: 1\n", "lines: 2\n"] {
            let output = kiln(directory.path()).args(arguments).output().expect("kiln can be started");
            assert!(output.status.success() && said(&output).contains(lines), "{}", said(&output));
        }
        let cache = directory.path().join("cache");
        let own = (geteuid().as_raw(), getegid().as_raw());
        let found = files(&cache);
        for path in &found {
            let metadata = fs::symlink_metadata(path).expect("it is there");
            assert_eq!((metadata.uid(), metadata.gid()), own, "{}", path.display());
        }
        for name in ["log", "hard", "big", "deep/er/file", "deep/er/link"] {
            assert!(found.contains(&cache.join(name)), "{name}: {found:?}");
        }
        assert_eq!(fs::metadata(cache.join("big")).expect("it is there").len(), 5 << 20);
    }
}

#[test]
fn a_cache_that_is_read_only_is_read_only_on_the_hosts_side() {
    let directory = project("root", &["cat /var/cache/melange/given; echo x > /var/cache/melange/new"]);
    let cache = directory.path().join("cache");
    fs::create_dir(&cache).expect("made");
    fs::write(cache.join("given"), "from the host\n").expect("written");
    let mut build = kiln(directory.path());
    build.args(["--virtiofsd", "embedded", "--cache-mode", "discard"]);
    let output = build.output().expect("kiln can be started");
    assert!(output.status.success() && said(&output).contains("] from the host\n"), "{}", said(&output));
    assert_eq!(files(&cache), [cache.join("given")]);
}

/// Reads a file, waits until the host has replaced it, and reads it once more. Each look is at another name: a guest may keep what it
/// knows of a name.
const READ_AGAIN: &str = "cd /var/cache/melange
cat file
echo now
for second in $(seq 100); do test -e replaced-$second && break; sleep 1; done
sleep 2
cat file
cat replaced-100
echo changed > file";

#[test]
fn a_file_that_another_build_replaces_can_still_be_read_below_an_overlay() {
    for (server, mode) in [("embedded", "discard"), ("spawned", "commit")] {
        let directory = project("root", &[READ_AGAIN]);
        let cache = directory.path().join("cache");
        fs::create_dir(&cache).expect("made");
        fs::write(cache.join("file"), "first\n").expect("written");
        let mut build = kiln(directory.path());
        build.args(["--virtiofsd", server, "--cache-mode", mode]).stderr(Stdio::piped());
        let mut build = build.spawn().expect("kiln can be started");
        let mut lines = BufReader::new(build.stderr.take().expect("it is piped")).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line.ends_with("] now"))), "the step has not started");
        // As a commit does it.
        fs::write(cache.join("new"), "second\n").expect("written");
        fs::rename(cache.join("new"), cache.join("file")).expect("renamed");
        for second in 1..=100 {
            fs::write(cache.join(format!("replaced-{second}")), "replaced\n").expect("written");
        }
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        let rest = rest.join("\n");
        assert!(build.wait().expect("it ends").success(), "{server}, {mode}: {rest}");
        assert!(rest.contains("] replaced\n") && !rest.contains("Stale"), "{server}, {mode}: {rest}");
    }
}

/// Looks at all files twice, opens as many as it is let, and writes when they are closed again.
const MANY: &str = "cd /var/cache/melange
test \"$(find . -type f -size -10k | wc -l)\" = 2000
test \"$(find . -type f -size -10k | wc -l)\" = 2000
{ bash -c 'ulimit -n 2000; for n in $(seq 1000); do exec {file}<f$n || exit 1; done' 2>&1 || true; } | tail -n 1
echo written > after && cat after";

#[test]
fn few_descriptors_are_enough_for_many_files_and_too_many_open_ones_are_an_error_of_the_step() {
    let directory = project("root", &[MANY]);
    let cache = directory.path().join("cache");
    fs::create_dir(&cache).expect("made");
    for number in 1..=2000 {
        fs::write(cache.join(format!("f{number}")), "").expect("written");
    }
    let mut build = kiln(directory.path());
    build.args(["--virtiofsd", "embedded"]);
    // With 1024 descriptors the device has 384 for the guest.
    let mut limited = Command::new("prlimit");
    limited.args(["--nofile=1024:1024"]).arg(build.get_program()).args(build.get_args());
    limited.env_remove("QEMU_USE_VIRTIOFS").env_remove("KILN_VIRTIOFSD").current_dir(directory.path());
    let output = limited.stdin(Stdio::null()).output().expect("kiln can be started");
    let said = said(&output);
    assert!(output.status.success() && said.contains("Too many open files in system"), "{said}");
    assert_eq!(fs::read(cache.join("after")).expect("it is there"), b"written\n");
}

/// The process that serves this directory: the child of the one that kiln has started.
pub(super) fn device(directory: &Path) -> Pid {
    let option = [b"--shared-dir=", directory.as_os_str().as_bytes()].concat();
    let is_device = |pid: &i32| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).any(|argument| argument == option)
    };
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let pids: Vec<i32> = pids.filter(is_device).collect();
    let parent = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        line.and_then(|line| line.trim().parse::<i32>().ok())
    };
    let serving = pids.iter().find(|pid| parent(pid).is_some_and(|parent| pids.contains(&parent)));
    Pid::from_raw(*serving.unwrap_or_else(|| panic!("no process serves {}: {pids:?}", directory.display())))
}

#[test]
fn a_device_that_is_killed_ends_the_build_and_is_named() {
    let directory = project("root", &["echo written > /var/cache/melange/file; echo now; sleep 1000"]);
    let mut build = kiln(directory.path());
    build.args(["--virtiofsd", "embedded"]).stderr(Stdio::piped());
    let mut build = build.spawn().expect("kiln can be started");
    let mut lines = BufReader::new(build.stderr.take().expect("it is piped")).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.ends_with("] now"))), "the step has not started");
    let cache = directory.path().join("cache");
    kill(device(&cache), Signal::SIGKILL).expect("it is there");
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let rest = rest.join("\n");
    assert_eq!(build.wait().expect("it ends").code(), Some(4), "{rest}");
    assert!(rest.contains("error: the virtiofs device ended (exit status 1)"), "{rest}");
    assert!(rest.contains("ended by SIGKILL"), "{rest}");
}

#[test]
fn the_plan_shows_the_device_as_a_program_that_can_be_called() {
    let directory = project("root", &["true"]);
    let program = env!("CARGO_BIN_EXE_kiln");
    let mut plan = Command::new(program);
    plan.args(["plan", "--accel", "tcg", "--virtiofsd", "embedded", "--cache-dir", "cache", "file.yaml"]);
    let output =
        plan.current_dir(directory.path()).stdin(Stdio::null()).output().expect("kiln can be started");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains(&format!("{program} __virtiofs")), "{shown}{}", said(&output));
    assert!(!shown.contains("/proc/self/exe"), "{shown}");
}
