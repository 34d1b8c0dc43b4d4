//! Real builds in real sandboxes: their results, their leftovers, and the limits of their reach.

mod apk_cases;
#[path = "../it/apk_repository.rs"]
mod apk_repository;
mod apk_tools;
#[path = "../it/authority.rs"]
mod authority;
mod cache;
#[path = "../it/confinement.rs"]
mod calls;
#[path = "../it/composed_root.rs"]
mod composed_root;
mod confinement;
#[path = "../it/everywhere.rs"]
mod everywhere;
mod failures;
#[path = "../it/fragments.rs"]
mod fragments;
mod grants;
mod host_settings;
#[path = "../it/host_settings.rs"]
mod host_settings_cases;
mod image_archive;
mod interactive;
mod jobs;
mod liar;
mod links;
mod logs;
mod masking;
#[path = "../it/proxy.rs"]
mod proxy;
mod pty;
#[path = "../it/reuse.rs"]
mod reuse;
mod rights;
#[path = "../it/step_cause.rs"]
mod step_cause;
#[path = "../it/rights.rs"]
mod step_rights;

mod overrides;
mod packages;
mod plan;
mod reaper;
mod rename;
#[path = "../it/renames.rs"]
mod renames;
mod room;
mod sharing;
mod steps;
mod times;

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use kiln::host::cgroup::{Cgroups, Parent};

/// Says why a test does not run here, and fails where everything must.
fn skip(why: &str) {
    assert!(std::env::var_os("KILN_REQUIRE_ALL").is_none_or(|all| all != "1"), "skipped: {why}");
    #[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
    {
        eprintln!("SKIP: {why}");
    }
}

fn has_bwrap() -> bool {
    let there = Command::new("bwrap").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !there {
        skip("bwrap is not installed");
    }
    there
}

/// A project's directory in one of its own, beside which the scratch directory lies.
fn project() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let project = directory.path().join("project");
    fs::create_dir(&project).expect("made");
    fs::create_dir(scratch(&project)).expect("made");
    (directory, project)
}

fn scratch(project: &Path) -> PathBuf {
    project.with_file_name("scratch")
}

/// A build of these steps in the project.
fn build(directory: &Path, run_as: &str, steps: &[&str], arguments: &[&str]) -> Output {
    build_saying("plain", directory, run_as, steps, arguments)
}

/// [`build`] with this `--progress`.
fn build_saying(
    progress: &str,
    directory: &Path,
    run_as: &str,
    steps: &[&str],
    arguments: &[&str],
) -> Output {
    let mut command = command(directory, run_as, steps, arguments);
    command.args(["--progress", progress]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let kiln = command.spawn().expect("kiln can be started");
    // prlimit becomes kiln.
    let pid = kiln.id();
    let output = kiln.wait_with_output().expect("kiln can be waited for");
    assert_eq!(groups_of(pid), Vec::<PathBuf>::new(), "control groups are left");
    output
}

fn command(directory: &Path, run_as: &str, steps: &[&str], arguments: &[&str]) -> Command {
    let mut text = format!(
        "package:\n  name: sample\n  version: 1.10\n  epoch: 3\nenvironment:\n  accounts:\n    run-as: {run_as}\npipeline:\n"
    );
    for step in steps {
        text += &format!("  - runs: |\n      {}\n", step.replace('\n', "\n      "));
    }
    fs::write(directory.join("file.yaml"), text).expect("the build file can be written");
    fs::write(directory.join("input"), "from-the-host\n").expect("written");
    // Steps do not get the limits of kiln itself.
    let mut command = Command::new("prlimit");
    command.args(["--nofile=300:", "--core=4096:"]).arg(env!("CARGO_BIN_EXE_kiln"));
    command.current_dir(directory).env("QEMU_DISKS_PATH", scratch(directory));
    command.args(["build", "--runner", "bubblewrap", "--cache-dir", "cache"]);
    command.args(arguments).arg("file.yaml").stdin(Stdio::null());
    command
}

/// The control groups of a kiln's sandboxes.
fn groups_of(pid: u32) -> Vec<PathBuf> {
    let Cgroups { memory, cpu } = Cgroups::find();
    let parents = [memory, cpu].into_iter().flatten();
    let groups = parents.flat_map(|Parent { path, .. }| fs::read_dir(path).expect("it can be listed"));
    let groups = groups.map(|entry| entry.expect("it can be listed").path());
    let prefix = format!("kiln-{pid}-");
    groups
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)))
        .collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A home of its own, with the images of the user's home.
fn home(path: PathBuf) -> PathBuf {
    fs::create_dir_all(&path).expect("made");
    let everybodys = kiln::home::Home::find(&kiln::env::Env::of_process()).expect("there is one");
    for name in ["images", "memos", "trees"] {
        std::os::unix::fs::symlink(everybodys.dir(name).expect("it can be made"), path.join(name))
            .expect("linked");
    }
    path
}

/// Nothing is left of the run.
fn assert_clean(directory: &Path) {
    let left = fs::read_dir(scratch(directory)).expect("listed").count();
    assert_eq!(left, 0, "scratch directories are left");
}

/// Reads the source and the cache, writes both, and leaves a file in the package.
const WORK: &str = "test \"$(cat input)\" = from-the-host
test \"$(stat -c %u input)\" = \"$(id -u)\"
echo changed > input
echo kept > /var/cache/melange/kept
mkdir -p ${{targets.destdir}}/usr/bin
cp input ${{targets.destdir}}/usr/bin/sample";

#[test]
fn source_and_cache_belong_to_the_steps_user_inside_and_to_the_invoking_user_outside() {
    if !has_bwrap() {
        return;
    }
    for run_as in ["root", "build"] {
        let (_directory, project) = project();
        let output = build(&project, run_as, &[WORK], &[]);
        assert!(output.status.success(), "{}", said(&output));
        assert!(project.join("packages/x86_64/sample-1.10-r3.apk").is_file());
        assert_eq!(fs::read_to_string(project.join("input")).expect("there"), "from-the-host\n");
        let kept = fs::metadata(project.join("cache/kept")).expect("it was kept");
        let own = fs::metadata(&project).expect("there");
        assert_eq!((kept.uid(), kept.gid()), (own.uid(), own.gid()), "{run_as}");
        assert_clean(&project);
    }
}

#[test]
fn what_is_discarded_is_not_kept() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let output = build(&project, "root", &[WORK], &["--cache-mode", "discard"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(!project.join("cache/kept").exists());
    assert_clean(&project);
}

#[test]
fn what_is_staged_in_the_cache_can_be_neither_seen_nor_moved() {
    if !has_bwrap() {
        return;
    }
    let steps = "cd /var/cache/melange\ntest -z \"$(ls -A .kiln || :)\"\n! mv .kiln moved\nrm -rf .kiln || :\necho x > own || :";
    for mode in ["discard", "commit", "rw", "ro"] {
        let (_directory, project) = project();
        // Another home's, that no lease of this one takes for its own.
        let staged = project.join("cache/.kiln/0-0-1/tree/half");
        fs::create_dir_all(staged.parent().expect("it has one")).expect("made");
        fs::write(&staged, "half").expect("written");
        let output = build(&project, "root", &[steps], &["--cache-mode", mode]);
        assert!(output.status.success(), "{mode}: {}", said(&output));
        assert_eq!(fs::read_to_string(staged).expect("it is there"), "half", "{mode}");
        assert!(!project.join("cache/moved").exists(), "{mode}");
    }
}

#[test]
fn what_is_read_of_the_cache_is_reported_or_why_it_is_not_known() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    for name in ["pip/used", "pip/unused", "pip/stamped", "pip/changed", "npm/used"] {
        let path = project.join("cache").join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        fs::write(path, vec![b'x'; 1000]).expect("written");
    }
    // Some tools stamp what they use; what has an old time of its own is not older for that.
    let reads = "cd /var/cache/melange
perl -e 'utime(time, (stat(\"pip/used\"))[9], \"pip/stamped\")'
cp --preserve=timestamps pip/used pip/copied
echo more >> pip/changed; touch --reference pip/used pip/changed
echo new > pip/new
cat pip/used pip/stamped pip/copied pip/changed pip/new npm/used > /dev/null";
    for mode in ["rw", "discard"] {
        let output = build_saying("json", &project, "root", &[reads], &["--cache-mode", mode]);
        assert!(output.status.success(), "{}", said(&output));
        let events = String::from_utf8(output.stdout).expect("JSON");
        let cache = events.lines().find(|line| line.contains(r#""event":"cache""#)).expect("it is reported");
        let expected: &[&str] = if nix::unistd::geteuid().is_root() {
            &[
                r#""reused_why":null"#,
                r#""reused":{"entries":1,"bytes":1000}},{"name":"pip""#,
                r#""reused":{"entries":2,"bytes":2000}}]"#,
            ]
        } else {
            // Only root of the machine can ask the kernel.
            &[r#""reused_why":"what the build read of the cache is not known: "#, "EPERM", r#""reused":null"#]
        };
        for part in expected {
            assert!(cache.contains(part), "{mode}: {part}: {cache}");
        }
        // The failure of a step does not hide what it used.
        let output =
            build(&project, "root", &["cat /var/cache/melange/pip/used; exit 1"], &["--cache-mode", mode]);
        assert!(
            !nix::unistd::geteuid().is_root() || said(&output).contains("used 1000 B"),
            "{}",
            said(&output)
        );
    }
}

#[test]
fn what_is_used_is_what_was_opened_in_every_build() {
    if !has_bwrap() || !nix::unistd::geteuid().is_root() {
        return skip("only root of the machine can count reads");
    }
    for (mode, step) in
        [("rw", reuse::STEP), ("discard", reuse::STEP), ("commit", reuse::STEP), ("ro", reuse::STEP_RO)]
    {
        for run_as in ["root", "build", "root"] {
            reuse::is_counted(&format!("{mode} {run_as}"), || {
                let (_directory, project) = project();
                let expected = reuse::fill(&project.join("cache"));
                let output = build_saying("json", &project, run_as, &[step], &["--cache-mode", mode]);
                assert!(output.status.success(), "{}", said(&output));
                (reuse::reported(&output.stdout), expected)
            });
        }
    }
}

#[test]
fn what_is_thrown_away_is_said_and_how_to_keep_it() {
    if !has_bwrap() {
        return;
    }
    for run_as in ["root", "build"] {
        let (_directory, project) = project();
        reuse::fill(&project.join("cache"));
        let output = build(&project, run_as, &[reuse::WRITE], &["--cache-mode", "discard"]);
        assert!(output.status.success(), "{}", said(&output));
        reuse::thrown_away(&said(&output), 102);
        let output =
            build(&project, run_as, &["touch /var/cache/melange/uses/*"], &["--cache-mode", "discard"]);
        assert!(said(&output).lines().any(|line| line.ends_with(", nothing new")), "{}", said(&output));
        let steps = [reuse::WRITE, "false"];
        let output = build(&project, run_as, &steps, &["--cache-mode", "commit"]);
        let failed = "pip 6 B, files at its top 4 B): the build did not succeed";
        assert!(said(&output).contains(failed), "{}", said(&output));
    }
}

/// Each line fails the step when it succeeds.
const ESCAPES: &str = "! echo 1 > /proc/sys/kernel/core_uses_pid
! touch /sys/x
! mknod disk b 7 0
! mount -t tmpfs none /mnt
! ls /lower
! ls /scratch
! ls /shares
! ls /kiln-agent
test \"$(cat /proc/1/comm)\" = kiln-agent
test \"$(hostname)\" = kiln
test \"$(grep -c : /proc/net/dev)\" = 1 && grep -q lo: /proc/net/dev
perl -MIO::Socket::INET -e 'IO::Socket::INET->new(Listen => 1, LocalAddr => \"127.0.0.1:80\") or die \"$!\"'
grep CapEff /proc/self/status | grep -q 00000000a80425fb";

#[test]
fn root_inside_is_not_root_of_the_machine() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let lines: Vec<&str> = ESCAPES.lines().collect();
    let output = build(&project, "root", &lines, &["--network", "off"]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn steps_have_the_limits_of_every_backend() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let lines = "test \"$(ulimit -S -n)\" = 1024
test \"$(ulimit -S -c)\" = 0
test \"$(ulimit -H -n)\" = 16384";
    let lines: Vec<&str> = lines.lines().collect();
    let output = build(&project, "root", &lines, &[]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn memory_is_limited_where_a_control_group_can_be_made() {
    if !has_bwrap() {
        return;
    }
    if Cgroups::find().memory.is_none() {
        return skip("this user may make no control group for memory");
    }
    let (_directory, project) = project();
    let takes = |mib| format!("perl -e '$taken = \"x\" x ({mib} << 20); print length $taken'");
    let output = build(&project, "root", &[&takes(100), &takes(400)], &["--memory", "256Mi"]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    let text = said(&output);
    assert!(text.contains("104857600") && text.contains("exited with status 137"), "{text}");
    assert!(!text.contains("419430400"), "{text}");
    assert!(text.contains("for want of memory: this build has 256 MiB"), "{text}");
}

#[test]
fn where_no_user_namespace_can_be_made_the_error_names_what_allows_them() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    fs::write(
        project.join("file.yaml"),
        "package: {name: a, version: '1', epoch: 0}\npipeline: [{runs: 'true'}]\n",
    )
    .expect("written");
    // The setting is that of a namespace of its own: nothing of this host is changed.
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c"]);
    command.args(["echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"", "sh"]);
    command.args([env!("CARGO_BIN_EXE_kiln"), "build", "--runner", "bubblewrap", "--progress", "plain"]);
    command.current_dir(&project).arg("file.yaml").stdin(Stdio::null());
    let output = command.output().expect("unshare can be started");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("error: this user cannot make a user namespace for bwrap: unshare: "), "{text}");
    let way_out = "way out: Run kiln as root, or allow user namespaces: \
                   sysctl -w user.max_user_namespaces=10000 (the kernel's limit)\n";
    assert!(text.contains(way_out), "{text}");
}

#[test]
fn a_failed_step_gives_its_status_and_leaves_nothing() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let output = build(&project, "root", &["sleep 1000 & echo the last line; exit 7"], &[]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("exited with status 7"), "{}", said(&output));
    assert_clean(&project);
}
