//! Attempts of a step against the agent, the kernel and the host, as each user and with each grant.

use std::{
    fs,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::MetadataExt,
            net::{SocketAddr, UnixDatagram, UnixListener},
        },
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use kiln::{env::Env, home::Home, process::LANDLOCK_WITH_SCOPES};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::geteuid,
};

use crate::{
    WORK, build,
    calls::{AGENT_IS_CLOSED, calls, i386_calls, write_i386_programs},
    command, has_bwrap, project, said, skip,
};

/// Calls that newer versions of docker's profile refuse, too.
const NEWER_CALLS: &str = "\
io_uring_setup 425 EPERM
socket 41 EPERM 40 1 0
socket 41 EPERM 38 5 0
socket 41 EPERM 0x100000028 1 0
a_call_to_come 9999 EPERM
";

/// More than any build needs.
const CAPABILITIES: &str =
    "SYS_ADMIN,SYS_PTRACE,SYS_RAWIO,DAC_READ_SEARCH,NET_ADMIN,SYS_BOOT,BPF,SYS_RESOURCE";

/// A build whose file asks for all of them, by a person who grants them.
fn build_with_all(project: &Path, steps: &[&str]) -> Output {
    let mut kiln = command(project, "root", steps, &["--allow-capability", CAPABILITIES]);
    let file = project.join("file.yaml");
    let text = fs::read_to_string(&file).expect("it was written");
    fs::write(&file, format!("{text}capabilities:\n  add: [{CAPABILITIES}]\n")).expect("written");
    kiln.args(["--progress", "plain"]).output().expect("kiln can be started")
}

#[test]
fn the_agent_is_closed_to_steps_of_any_user_with_any_capability() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    for run_as in ["root", "build"] {
        let output = build(&project, run_as, &[AGENT_IS_CLOSED], &[]);
        assert!(output.status.success(), "{run_as}: {}", said(&output));
    }
    let output = build_with_all(&project, &[AGENT_IS_CLOSED]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn system_calls_are_filtered_as_in_a_container() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    write_i386_programs(&project);
    let calls = calls(NEWER_CALLS);
    for run_as in ["root", "build"] {
        let output = build(&project, run_as, &[&calls, &i386_calls()], &["--network", "off"]);
        assert!(output.status.success(), "{run_as}: {}", said(&output));
    }
}

/// kiln for root of a user namespace with one user: what an ordinary user without a range of ids has.
fn as_sole_user(kiln: &Command, home: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).arg(kiln.get_program()).args(kiln.get_args());
    command.envs(kiln.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("KILN_HOME", home).stdin(Stdio::null());
    if let Some(directory) = kiln.get_current_dir() {
        command.current_dir(directory);
    }
    command
}

/// A home with the user's images, in which their trees are unpacked that go with it.
fn home(project: &Path) -> PathBuf {
    let home = project.with_file_name("home");
    let images = Home::find(&Env::of_process()).expect("there is one").dir("images").expect("made");
    fs::create_dir_all(home.join("images")).expect("made");
    for entry in fs::read_dir(images).expect("listed") {
        let entry = entry.expect("listed");
        let own = home.join("images").join(entry.file_name());
        if entry.path().join("root.erofs").is_file() {
            fs::create_dir(&own).expect("made");
            fs::copy(entry.path().join("image.json"), own.join("image.json")).expect("copied");
            // The store takes no symbolic link.
            let (image, link) = (entry.path().join("root.erofs"), own.join("root.erofs"));
            fs::hard_link(&image, &link).or_else(|_| fs::copy(&image, &link).map(drop)).expect("copied");
        }
    }
    home
}

#[test]
fn a_user_without_a_range_of_ids_is_as_confined() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let home = home(&project);
    write_i386_programs(&project);
    let (calls, of_i386) = (calls(NEWER_CALLS), i386_calls());
    let steps = [AGENT_IS_CLOSED, &calls, &of_i386, DEVICES, WORK];
    let mut kiln = command(&project, "root", &steps, &["--network", "off"]);
    kiln.args(["--progress", "plain"]);
    let output = as_sole_user(&kiln, &home).output().expect("unshare can be started");
    let text = said(&output);
    if text.contains("cannot make a user namespace") || text.contains("unshare failed") {
        return skip("this user may make no user namespace");
    }
    assert!(output.status.success(), "{text}");
    assert_eq!(fs::read_to_string(project.join("cache/kept")).expect("there"), "kept\n");
}

/// Tries to change the host's nodes, and uses them as builds do.
const DEVICES: &str = r#"cd /dev
for node in null zero full random urandom tty; do
  ! chmod 0640 $node 2>/dev/null || exit 1
  ! chown 1:1 $node 2>/dev/null || exit 1
  ! touch $node 2>/dev/null || exit 1
done
echo x > null; echo x >> null; : > zero
test "$(head -c 3 zero | wc -c)" = 3
test "$(head -c 3 urandom | wc -c)" = 3
! echo x 2>/dev/null > full
test "$(echo x | cat stdin)" = x
test "$(cat fd/0 < /home/build/input)" = from-the-host
echo x > shm/file; test "$(cat shm/file)" = x; rm shm/file
perl -e 'open(my $master, "+<", "/dev/ptmx") or die "$!"; my $unlock = pack("i", 0); ioctl($master, 0x40045431, $unlock) or die "$!"'
echo the devices are usable"#;

/// Nodes whose times nothing else changes.
fn nodes() -> Vec<(&'static str, u32, u32, i64)> {
    let look = |name| {
        let node = fs::metadata(Path::new("/dev").join(name)).expect("it is there");
        (name, node.mode(), node.uid(), node.mtime())
    };
    ["full", "random"].map(look).into()
}

#[test]
fn the_hosts_devices_can_be_used_and_not_changed() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let before = nodes();
    for run_as in ["root", "build"] {
        let output = build(&project, run_as, &[DEVICES], &[]);
        assert!(output.status.success(), "{run_as}: {}", said(&output));
        assert_eq!(nodes(), before, "{run_as}");
    }
}

/// Ends with 0 if no control group of version 1 is a way out: the kernel starts its `release_agent` as root of the machine.
const CONTROL_GROUPS: &str = r#"cat > /tmp/attack <<'END'
mkdir -p /m/a
for hierarchy in devices memory cpu pids freezer none,name=systemd; do
  mount -t cgroup -o $hierarchy none /m/a 2>/dev/null || continue
  ! mkdir /m/a/kiln-attack 2>/dev/null || exit 1
  for file in release_agent notify_on_release cgroup.procs tasks devices.allow memory.limit_in_bytes; do
    test ! -e /m/a/$file || ! { echo 1 > /m/a/$file; } 2>/dev/null || exit 1
  done
  umount /m/a
done
END
mkdir -p /m; mount -t tmpfs none /m
sh /tmp/attack
unshare -C sh /tmp/attack
umount /m"#;

/// Lines that each fail the step when the attack succeeds.
const MOUNTS: &str = r#"mkdir -p /m/a; mount -t tmpfs none /m; mkdir /m/a
! mount -t devtmpfs none /m/a 2>/dev/null
! mount -t proc none /m/a 2>/dev/null
! mount -t sysfs none /m/a 2>/dev/null
! unshare -pf mount -t proc none /m/a 2>/dev/null
! mount -o remount,rw /proc/sys 2>/dev/null
! mount -o remount,bind,rw /proc/sys 2>/dev/null
! mount -o remount,bind,rw /dev/full 2>/dev/null
! umount /proc/sys 2>/dev/null
! umount /proc/keys 2>/dev/null
! umount -l /dev/full 2>/dev/null
! umount -l /var/cache/melange 2>/dev/null
for name in kernel/core_pattern kernel/modprobe vm/drop_caches; do ! { echo 1 > /proc/sys/$name; } 2>/dev/null; done
! { echo h > /proc/sysrq-trigger; } 2>/dev/null
test "$(cat /proc/keys /proc/timer_list /proc/interrupts 2>/dev/null | wc -c)" = 0
test "$(ls /sys/firmware /proc/acpi 2>/dev/null | grep -vc :)" = 0 || test "$(ls -A /sys/firmware)" = ""
! mknod /tmp/loop-control c 10 237 2>/dev/null
! nsenter -t 1 -m true 2>/dev/null
umount /m"#;

#[test]
fn a_granted_capability_is_not_the_hosts() {
    if !has_bwrap() {
        return;
    }
    let (_directory, project) = project();
    let before = nodes();
    let output = build_with_all(&project, &[CONTROL_GROUPS, MOUNTS]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(nodes(), before);
}

#[test]
fn where_owners_cannot_be_translated_a_sandbox_has_no_rights_either_and_says_so() {
    if !has_bwrap() {
        return;
    }
    if !geteuid().is_root() {
        return skip("only root can mount a file system without idmapped mounts");
    }
    let (directory, project) = project();
    // Of this thread and of what it starts: it goes with them.
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .expect("the mount namespace is the test's own");
    let layers = directory.path().join("layers");
    fs::create_dir(&layers).expect("made");
    mount(Some("none"), &layers, Some("tmpfs"), MsFlags::empty(), none).expect("mounted");
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| layers.join(name));
    [&lower, &upper, &work].into_iter().for_each(|path| fs::create_dir(path).expect("made"));
    let options =
        format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    mount(Some("none"), &project, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .expect("mounted");
    let output = build_with_all(&project, &[AGENT_IS_CLOSED, DEVICES, MOUNTS, WORK]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("users in the sandbox have the ids of users of this host"), "{text}");
    assert_eq!(fs::metadata(project.join("cache/kept")).expect("there").uid(), 0);
}

/// A server of the step's own answers; the host's is not there.
const ABSTRACT: &str = r#"perl -MSocket -e 'my ($of_host) = @ARGV;
sub name { pack("S", AF_UNIX) . "\0" . shift }
socket(my $server, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
bind($server, name("own-$$")) or die "bind: $!"; listen($server, 1) or die "listen: $!";
socket(my $one, AF_UNIX, SOCK_STREAM, 0); connect($one, name("own-$$")) or die "its own: $!";
socket(my $other, AF_UNIX, SOCK_STREAM, 0); connect($other, name($of_host)) and die "the host answers";
print "refused: $!\n"; my $datagram; socket($datagram, AF_UNIX, SOCK_DGRAM, 0);
send($datagram, "x", 0, name("$of_host-datagrams")) and die "the host hears"' "#;

#[test]
fn the_hosts_abstract_sockets_are_not_reached() {
    if !has_bwrap() {
        return;
    }
    if kiln::process::landlock_version() < LANDLOCK_WITH_SCOPES {
        return skip("Landlock of this kernel has no scopes");
    }
    let name = format!("kiln-test-{}", std::process::id());
    let at = |name: String| SocketAddr::from_abstract_name(name).expect("a name");
    let server = UnixListener::bind_addr(&at(name.clone())).expect("bound");
    let datagrams = UnixDatagram::bind_addr(&at(format!("{name}-datagrams"))).expect("bound");
    let (_directory, project) = project();
    let output = build_with_all(&project, &[&format!("{ABSTRACT}{name}")]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("refused: Operation not permitted"), "{}", said(&output));
    server.set_nonblocking(true).expect("set");
    server.accept().expect_err("no connection was made");
    datagrams.set_nonblocking(true).expect("set");
    datagrams.recv(&mut [0]).expect_err("no datagram was sent");
}
