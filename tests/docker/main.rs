//! Real builds in real containers: their results, their leftovers, and the errors.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "the tests of sandboxes use the rest")]
#[path = "../it/apk_repository.rs"]
mod apk_repository;
mod apk_root;
#[path = "../it/authority.rs"]
mod authority;
#[path = "../it/confinement.rs"]
mod calls;
mod cargo;
mod commit;
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
mod interactive;
mod namespace;
mod owners;
mod packages;
#[path = "../it/proxy.rs"]
mod proxy;
#[expect(dead_code, reason = "the tests of sandboxes use the rest")]
#[path = "../sandbox/pty.rs"]
mod pty;
mod reads;
mod rename;
#[path = "../it/renames.rs"]
mod renames;
#[path = "../it/reuse.rs"]
mod reuse;
mod rights;
mod secrets;
#[path = "../it/skip.rs"]
mod skip;
#[path = "../it/step_cause.rs"]
mod step_cause;
#[path = "../it/rights.rs"]
mod step_rights;
mod steps;
mod sweep;
#[path = "../it/wait_until.rs"]
mod wait_until;
mod world;

use std::{
    fs,
    os::unix::fs::MetadataExt,
    process::{Command, Output},
};

use world::{Place, daemon, said};

/// Reads source and cache, writes both, and leaves a file in the package.
const WORK: &str = "test \"$(cat input)\" = from-the-host
test ! -e hidden/secret && test -e hidden
echo changed > input
cat /var/cache/melange/kept 2>/dev/null || echo nothing is kept
echo kept > /var/cache/melange/kept
mkdir -p ${{targets.destdir}}/usr/bin
cp input ${{targets.destdir}}/usr/bin/sample";

#[test]
fn a_build_keeps_the_cache_and_leaves_nothing_else() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    place.write("hidden/secret", "x");
    place.write(".melangeignore", "hidden/secret\n");
    let first = place.build("root", &[WORK], &[]);
    assert!(first.status.success(), "{}", said(&first));
    assert!(said(&first).contains("] nothing is kept\n"), "{}", said(&first));
    assert!(place.project().join("packages/x86_64/sample-1.10-r3.apk").is_file());
    assert_eq!(fs::read_to_string(place.project().join("input")).unwrap(), "from-the-host\n");
    let kept = fs::metadata(place.project().join("cache/kept")).unwrap();
    assert_eq!(kept.uid(), nix::unistd::geteuid().as_raw());
    let again = place.build("root", &[WORK], &[]);
    assert!(again.status.success() && said(&again).contains("] kept\n"), "{}", said(&again));
    assert_eq!(place.left(), Vec::<String>::new());
}

#[test]
fn writes_go_where_the_cache_mode_says() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    place.write("cache/there", "old\n");
    let discard = place.build(
        "build",
        &["echo new > /var/cache/melange/there; cat /var/cache/melange/there"],
        &["--cache-mode", "discard"],
    );
    assert!(discard.status.success() && said(&discard).contains("] new\n"), "{}", said(&discard));
    let ro = place.build(
        "root",
        &["cat /var/cache/melange/there; ! echo new > /var/cache/melange/there"],
        &["--cache-mode", "ro"],
    );
    assert!(ro.status.success() && said(&ro).contains("Read-only file system"), "{}", said(&ro));
    assert_eq!(fs::read_to_string(place.project().join("cache/there")).unwrap(), "old\n");
    assert_eq!(fs::read_dir(place.project().join("cache")).unwrap().count(), 1);
    assert_eq!(place.left(), Vec::<String>::new());
}

#[test]
fn a_failed_step_gives_its_status_and_leaves_nothing() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    let output = place.build("root", &["setsid sleep 1000 & echo the last line; exit 7"], &[]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("exited with status 7"), "{}", said(&output));
    assert!(said(&output).contains("the last line"), "{}", said(&output));
    assert_eq!(place.left(), Vec::<String>::new());
}

/// The container: its limits, its network, its name, and its owner.
const LOOK: &str = "hostname
cat /proc/net/route | wc -l
wc -c < /etc/resolv.conf
cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max
grep CapBnd /proc/self/status
! mount -t tmpfs none /mnt 2>/dev/null && echo cannot mount
findmnt -rn -o TARGET | grep -vE '^/(proc|sys|dev)(/|$)' | sort | tr '\\n' ' '
echo
! ls /var/run/docker.sock 2>&1";

#[test]
fn a_container_is_as_small_as_it_should_be() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    place.tail("capabilities:\n  add: [NET_ADMIN]\n  drop: [MKNOD]\n");
    place.head("  resources:\n    memory: 300Mi\n    cpu: 1\n");
    let output = place.build("root", &[LOOK], &["--network", "off", "--allow-capability", "NET_ADMIN"]);
    assert!(output.status.success(), "{}", said(&output));
    let seen: Vec<String> = said(&output)
        .lines()
        .filter_map(|line| line.split_once("] "))
        .map(|(_, text)| text.to_owned())
        .collect();
    let expected = [
        "kiln",
        "1",
        "0",
        "314572800",
        // docker's default set with net_admin, without mknod.
        "CapBnd:\t00000000a00435fb",
        "cannot mount",
        "/ /etc/hostname /etc/hosts /etc/resolv.conf /home/build /kiln-agent /kiln-volumes/source/upper \
         /kiln-volumes/source/work /run /var/cache/melange /var/cache/melange/cargo /var/cache/melange/cargo/git \
         /var/cache/melange/cargo/registry ",
        "ls: cannot access '/var/run/docker.sock': No such file or directory",
    ];
    for line in expected {
        assert!(
            seen.iter().any(|seen| seen.trim_end() == line.trim_end()),
            "no {line:?} in {}",
            said(&output)
        );
    }
}

#[test]
fn builds_at_once_share_one_image_and_no_name() {
    let Some(_) = daemon() else { return };
    let places: Vec<Place> = (0..3).map(|_| Place::new()).collect();
    let children: Vec<_> = places
        .iter()
        .map(|place| {
            place.command("root", &["cat input"], &[]).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for (place, child) in places.iter().zip(children) {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(place.left(), Vec::<String>::new());
    }
}

#[test]
fn paths_may_hold_anything() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    let odd = "a, \"b\":c\\d ü";
    place.write(&format!("{odd}/input"), "odd\n");
    place.cache(&format!("{odd} cache"));
    let output = place.build("root", &["cat input; echo x > /var/cache/melange/y"], &["--source-dir", odd]);
    assert!(output.status.success() && said(&output).contains("] odd\n"), "{}", said(&output));
    assert!(place.project().join(format!("{odd} cache/y")).is_file());
}

fn refused(docker_host: &str) -> Output {
    let place = Place::new();
    place.command("root", &["true"], &[]).env("DOCKER_HOST", docker_host).output().unwrap()
}

#[test]
fn a_daemon_that_cannot_be_used_is_named_with_the_way_out() {
    let Some(_) = daemon() else { return };
    let elsewhere = refused("tcp://192.0.2.1:2375");
    assert_eq!(elsewhere.status.code(), Some(4), "{}", said(&elsewhere));
    assert!(said(&elsewhere).contains("not on this machine"), "{}", said(&elsewhere));
    let absent = refused("unix:///absent/socket");
    assert_eq!(absent.status.code(), Some(4), "{}", said(&absent));
    assert!(
        said(&absent).contains("no docker daemon answers") && said(&absent).contains("way out"),
        "{}",
        said(&absent)
    );
}

#[test]
fn who_may_not_speak_to_the_daemon_or_has_no_docker_is_told_what_helps() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    let nothing = place.command("root", &["true"], &[]).env("PATH", "/nowhere").output().unwrap();
    assert_eq!(nothing.status.code(), Some(4), "{}", said(&nothing));
    assert!(said(&nothing).contains("docker is not installed"), "{}", said(&nothing));
    assert!(said(&nothing).contains("images/setup.sh docker"), "{}", said(&nothing));
    if !nix::unistd::geteuid().is_root() {
        return skip::skip("only root can become a user who is not in the group of docker");
    }
    let kiln = place.command("root", &["true"], &[]);
    let home = place.root().join("a-home-of-theirs");
    fs::create_dir(&home).unwrap();
    owners::give(place.root(), owners::ORDINARY);
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={0}", owners::ORDINARY), format!("--regid={0}", owners::ORDINARY)]);
    command.arg("--clear-groups").arg(kiln.get_program()).args(kiln.get_args());
    let output = command.current_dir(place.project()).env("KILN_HOME", home).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("permission denied"), "{}", said(&output));
    assert!(said(&output).contains("usermod -aG docker"), "{}", said(&output));
}

#[test]
fn a_plan_prints_the_whole_command_line() {
    let Some(_) = daemon() else { return };
    let place = Place::new();
    place.project_of("root", &["true"]);
    let output = Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args(["plan", "--runner", "docker", "--cache-dir", "cache", "file.yaml"])
        .current_dir(place.project())
        .env("KILN_HOME", place.home())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", said(&output));
    for part in ["run", "--pull never", "--network bridge", "dst=/var/cache/melange", "dst=/home/build"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}
