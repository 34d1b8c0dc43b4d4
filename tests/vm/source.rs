//! The source by kiln's own virtiofs device: the same builds as by 9p, and a directory that no guest can change.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Output, Stdio},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        stat::Mode,
    },
    unistd::{geteuid, mkfifo},
};

use super::{embedded::device, kiln, project, said, with_cache};

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
}

/// Everything that a source may hold.
fn fill(source: &Path) {
    let write = |name: &str, content: &[u8]| {
        let path = source.join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        fs::write(&path, content).expect("written");
        path
    };
    let big: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    write("big", &big);
    write("empty", b"");
    mode(&write("tools/run", b"#!/bin/sh\necho run\n"), 0o755);
    mode(&write("tools/set-id", b"x"), 0o4755);
    mode(&write("own", b"its owner may read it"), 0o400);
    write("a b,c/\u{e4}\u{436} \"quoted\"", b"odd\n");
    write(&format!("{}/deep", ["d"; 30].join("/")), b"deep\n");
    (0..300).for_each(|number| drop(write(&format!("many/{number}"), &[b'x'; 100])));
    fs::hard_link(source.join("big"), source.join("also big")).expect("linked");
    fs::create_dir(source.join("nothing in it")).expect("made");
    mode(&source.join("nothing in it"), 0o700);
    mkfifo(&source.join("fifo"), Mode::S_IRWXU).expect("made");
    symlink("/etc/hostname", source.join("absolute")).expect("linked");
    symlink("../../../../../../../etc/shadow", source.join("out")).expect("linked");
    symlink("no/such", source.join("dangling")).expect("linked");
}

/// Leaves the whole source in the package, with a list of what each name is.
const COPY: &str =
    "find . -mindepth 1 ! -type d -printf '%y %m %s %n %l %TY-%Tm-%Td %p\\n' | LC_ALL=C sort > /tmp/list
find . -type d -printf 'd %m %p\\n' | LC_ALL=C sort >> /tmp/list
find . -type f -exec sha256sum {} + | LC_ALL=C sort >> /tmp/list
cp -a . /tmp/copy
rm -r /tmp/copy/fifo /tmp/copy/melange-out
cp -a /tmp/copy ${{targets.destdir}}
cp /tmp/list ${{targets.destdir}}/list
# A link leads where it leads in the guest.
test \"$(cat absolute)\" = \"$(cat /etc/hostname)\"
! test -e dangling
tools/run
# The workspace can be changed, names and content.
mv many moved
echo more >> big
rm -r 'a b,c' tools
chmod 777 own
mkdir many
echo new > many/0";

/// A build with this source share.
fn by(directory: &Path, share: &str) -> Command {
    let mut command = kiln(directory);
    command.args(["--source-share", share]);
    command
}

fn run(command: &mut Command) -> Output {
    let output = command.output().expect("kiln can be started");
    assert!(output.status.success(), "{}", said(&output));
    output
}

/// Names, sizes, modes and times below a directory, without what a build makes there.
fn state(directory: &Path) -> String {
    let mut find = Command::new("find");
    find.current_dir(directory).args([".", "-mindepth", "1"]);
    let ours = ["-name", "packages", "-prune", "-o", "-name", "cache", "-prune", "-o"];
    let list = find.args(ours).args(["-printf", "%p %s %m %T@ %l\\n"]).output().expect("find can be started");
    assert!(list.status.success(), "{list:?}");
    String::from_utf8_lossy(&list.stdout).into_owned()
}

#[test]
fn a_build_has_the_same_source_and_result_as_by_9p() {
    for run_as in ["root", "build"] {
        let directory = project(run_as, &[COPY]);
        let directory = directory.path();
        fill(directory);
        // The directory itself cannot be written either.
        mode(directory, 0o555);
        let out_dir = tempfile::tempdir().expect("a directory");
        let before = state(directory);
        let packages = ["9p", "virtiofs"].map(|share| {
            let (out, cache) = (out_dir.path().join(share), out_dir.path().join("cache"));
            let mut build = with_cache(directory, cache.to_str().expect("UTF-8"));
            // The source has a file with set-id bits, which a package may not have.
            let arguments = ["--source-share", share, "--lint-require", "dev"];
            run(build.args(arguments).arg("--out-dir").arg(&out));
            fs::read(out.join("x86_64/sample-1.10-r3.apk")).expect("there is a package")
        });
        assert!(packages[0] == packages[1], "{run_as}: the packages differ");
        assert_eq!(before, state(directory), "{run_as}");
        mode(directory, 0o755);
    }
}

/// Root of a guest mounts the share once more, makes that mount writable, and tries to change the host's files.
const ATTACK: &str = "mkdir /tmp/s
mount -t virtiofs -o ro kiln-source /tmp/s
mount -o remount,rw /tmp/s
# The mount and the file system: this kernel would let every change through.
grep ' /tmp/s rw,.* virtiofs kiln-source rw' /proc/self/mountinfo
cd /tmp/s
is_refused() { if \"$@\" 2>/tmp/why; then echo \"$* was not refused\"; exit 1; fi; grep 'Read-only file system' /tmp/why; }
is_refused touch new
is_refused mkdir newdir
is_refused ln -s x newlink
is_refused ln input hard
is_refused mknod pipe p
is_refused rm input
is_refused rmdir dir
is_refused mv input moved
is_refused chmod 777 input
is_refused chown 1:1 input
is_refused truncate -s 0 input
is_refused dd if=/dev/zero of=input bs=1 count=1 conv=notrunc
is_refused touch -d 2001-01-01 input
test \"$(cat input)\" = from-the-host";

#[test]
fn the_device_itself_refuses_every_change() {
    let directory = project("root", &[ATTACK]);
    let file = directory.path().join("file.yaml");
    let text = fs::read_to_string(&file).expect("it was written");
    fs::write(&file, format!("{text}capabilities: {{add: [CAP_SYS_ADMIN]}}\n")).expect("written");
    fs::create_dir(directory.path().join("dir")).expect("made");
    fs::write(directory.path().join("input"), "from-the-host\n").expect("written");
    let before = state(directory.path());
    // With a cache that may be written, by a device of the same kind.
    run(by(directory.path(), "virtiofs").args(["--virtiofsd", "embedded"]));
    assert_eq!(before, state(directory.path()));
}

/// Reads until an edit is seen, then reads the file that another one has replaced.
const WAIT: &str = "cat edited replaced
ls dir
echo now
for second in $(seq 120); do grep -q 'much longer' edited && break; sleep 1; done
cat edited
test \"$(cat edited)\" = 'a text that is much longer'
cat replaced
echo more >> replaced
cat dir/file";

#[test]
fn an_edit_on_the_host_is_seen_by_a_later_read_and_breaks_nothing() {
    let directory = project("build", &[WAIT]);
    let directory = directory.path();
    fs::create_dir(directory.join("dir")).expect("made");
    for name in ["edited", "replaced", "dir/file"] {
        fs::write(directory.join(name), "short\n").expect("written");
    }
    let mut build = by(directory, "virtiofs").stderr(Stdio::piped()).spawn().expect("kiln can be started");
    let mut lines = BufReader::new(build.stderr.take().expect("it is piped")).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.ends_with("] now"))), "the step has not started");
    // As editors do it: a new file takes the name, or the content changes.
    fs::write(directory.join("next"), "another file\n").expect("written");
    fs::rename(directory.join("next"), directory.join("replaced")).expect("renamed");
    fs::remove_file(directory.join("dir/file")).expect("removed");
    fs::write(directory.join("edited"), "a text that is much longer\n").expect("written");
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let rest = rest.join("\n");
    assert!(build.wait().expect("it ends").success(), "{rest}");
    assert!(rest.contains("] a text that is much longer\n") && rest.contains("] short\n"), "{rest}");
    assert_eq!(fs::read_to_string(directory.join("replaced")).expect("read"), "another file\n");
    // The next build has what is there now.
    fs::write(directory.join("dir/file"), "short\n").expect("written");
    let output = run(&mut by(directory, "virtiofs"));
    assert!(said(&output).contains("] another file\n"), "{}", said(&output));
}

#[test]
fn a_file_system_that_is_mounted_in_the_source_is_a_part_of_it() {
    // Only root can mount one, in a namespace that ends with the build.
    if !geteuid().is_root() {
        return;
    }
    let directory = project("root", &["cat mounted/file", "cp -a mounted copy && cat copy/file"]);
    fs::create_dir(directory.path().join("mounted")).expect("made");
    for share in ["9p", "virtiofs"] {
        let build = by(directory.path(), share);
        let mut inside = Command::new("unshare");
        inside
            .args(["-m", "sh", "-c"])
            .arg("mount -t tmpfs t mounted && echo inner > mounted/file && exec \"$@\"");
        inside.arg("sh").arg(build.get_program()).args(build.get_args()).current_dir(directory.path());
        inside.env_remove("QEMU_USE_VIRTIOFS").env_remove("KILN_VIRTIOFSD").stdin(Stdio::null());
        let output = run(&mut inside);
        assert_eq!(said(&output).matches("] inner\n").count(), 2, "{share}: {}", said(&output));
    }
}

#[test]
fn a_device_of_the_source_that_is_killed_ends_the_build_and_is_named() {
    let directory = project("root", &["echo now; sleep 1000"]);
    let mut build = by(directory.path(), "virtiofs");
    let mut build = build.args(["--virtiofsd", "embedded"]).stderr(Stdio::piped()).spawn().expect("started");
    let mut lines = BufReader::new(build.stderr.take().expect("it is piped")).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.ends_with("] now"))), "the step has not started");
    let source = fs::canonicalize(directory.path()).expect("it is there");
    kill(device(&source), Signal::SIGKILL).expect("it is there");
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let rest = rest.join("\n");
    assert_eq!(build.wait().expect("it ends").code(), Some(4), "{rest}");
    assert!(rest.contains("error: the virtiofs device of the source ended (exit status 1)"), "{rest}");
}
