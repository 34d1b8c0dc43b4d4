//! The jail in which images are made, from inside: its root tries the attacks of a package's script, and reaches nothing of the host.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::{MetadataExt, PermissionsExt},
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

use kiln::process::{Command, Jail, JailNetwork, Spawner};
use nix::unistd::{geteuid, gethostname};

use crate::skip::skip;

/// Prints a line for each thing that it could do, and `end` at its end.
const ATTACKS: &str = include_str!("jail/attacks.pl");

/// A variable that must not reach a jail.
const SECRET: &str = "KILN_TEST_SECRET";

/// Where the next test has put a kiln for the one that it runs.
const REACHABLE: &str = "KILN_TEST_JAIL";

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(300);

const READ_ONLY: [&str; 9] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/passwd",
    "/nowhere",
];

fn jail(staging: &Path, network: JailNetwork) -> Jail {
    let read_only = READ_ONLY.map(PathBuf::from).into();
    Jail { staging: staging.into(), read_only, empty: vec!["/etc/apt/apt.conf.d".into()], network }
}

fn staging(place: &Path) -> PathBuf {
    // Only its owner can search a directory above it.
    let closed = place.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let staging = closed.join("kiln-image-test");
    fs::create_dir(&staging).unwrap();
    staging
}

async fn run(spawner: &Spawner, jail: Jail, argv: &[OsString]) -> (String, String, bool) {
    let command = Command::new(&argv[0]).args(&argv[1..]).jail(jail);
    let output = spawner.output(command, LIMIT).await.unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.success())
}

/// The state of the host that a jail must not change, as text.
fn state_of_host(marker: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let nodes = ["null", "full", "zero", "random"].map(|name| {
        let metadata = fs::metadata(Path::new("/dev").join(name)).unwrap();
        (metadata.mode(), metadata.uid(), metadata.gid())
    });
    let beside: Vec<_> =
        fs::read_dir(marker.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    format!("{mounts}{nodes:?}{:?}{beside:?}{}", gethostname(), fs::read_to_string(marker).unwrap())
}

async fn attack(spawner: &Spawner, place: &Path) {
    let staging = staging(place);
    // A directory of the host that all users may write into, known to the attacker.
    let open = place.join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    let marker = open.join("marker");
    fs::write(&marker, "untouched").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("kiln-test-{}", std::process::id());
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let before = state_of_host(&marker);
    let port = listener.local_addr().unwrap().port().to_string();
    let pid = std::process::id().to_string();
    let arguments = ["perl", "-e", ATTACKS, marker.to_str().unwrap(), &port, &name, &pid, SECRET];
    let argv: Vec<OsString> = arguments.map(OsString::from).into();
    let (said, complained, ended) = run(spawner, jail(&staging, JailNetwork::None), &argv).await;
    let me = geteuid().as_raw();
    let (ids, rest) = said.split_once('\n').unwrap_or_else(|| panic!("{said}{complained}"));
    let outside: Vec<u32> = ids
        .split_ascii_whitespace()
        .map(|word| word.parse().unwrap_or_else(|_| panic!("{said}{complained}")))
        .collect();
    let [inside, first, count] = outside[..] else { panic!("{said}") };
    assert_eq!(inside, 0);
    assert!(count >= 65_535 && first > 0, "{ids}");
    assert_eq!((rest, ended), ("end\n", true), "{complained}");
    assert_eq!(state_of_host(&marker), before);
    // A file of its root is neither one of the host's root nor one of the user.
    let owner = fs::metadata(staging.join("work/file")).unwrap();
    assert!(![0, me].contains(&owner.uid()) && ![0, me].contains(&owner.gid()), "{owner:?}");
    kiln::process::remove(&staging).unwrap();
    assert!(!staging.exists());
}

#[tokio::test]
async fn root_of_a_jail_reaches_nothing_of_the_host() {
    if !geteuid().is_root() {
        return skip("the tests run as an ordinary user, whose range of ids is not known");
    }
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let spawner = Spawner::start_with(Path::new(env!("CARGO_BIN_EXE_kiln"))).unwrap();
    attack(&spawner, place.path()).await;
}

/// Run by the next test, as another user.
#[tokio::test]
#[ignore = "not a test of its own"]
async fn as_an_ordinary_user() {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let kiln = std::env::var_os(REACHABLE).unwrap();
    attack(&Spawner::start_with(Path::new(&kiln)).unwrap(), place.path()).await;
}

#[tokio::test]
async fn the_jail_of_an_ordinary_user_has_neither_the_host_nor_the_user() {
    if !geteuid().is_root() {
        return skip("the tests run as an ordinary user already");
    }
    let reachable = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(reachable.path(), Permissions::from_mode(0o755)).unwrap();
    let at = |name: &str| reachable.path().join(name);
    fs::copy(std::env::current_exe().unwrap(), at("tests")).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_kiln"), at("kiln")).unwrap();
    // Seen by this run alone.
    let users = fs::read_to_string("/etc/passwd").unwrap();
    fs::write(at("passwd"), format!("{users}kiln-jail:x:4321:4321::/nowhere:/bin/sh\n")).unwrap();
    for name in ["subuid", "subgid"] {
        fs::write(at(name), "kiln-jail:300000:65536\n").unwrap();
    }
    let mounts = ["passwd", "subuid", "subgid"].map(|name| {
        format!(
            "{{ [ -e /etc/{name} ] || touch /etc/{name}; }} && mount --bind {} /etc/{name} && ",
            at(name).display()
        )
    });
    let me = "setpriv --reuid 4321 --regid 4321 --clear-groups \"$@\"";
    let command = Command::new("unshare")
        .args(["--mount", "sh", "-c", &format!("{}exec {me}", mounts.concat()), "sh"])
        .arg(at("tests"))
        .args(["--exact", "jail::as_an_ordinary_user", "--ignored", "--nocapture"])
        .env(REACHABLE, at("kiln"))
        .env(SECRET, "secret")
        .env("TMPDIR", "/tmp");
    let spawner = Spawner::start_with(Path::new(env!("CARGO_BIN_EXE_kiln"))).unwrap();
    let output = spawner.output(command, LIMIT).await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(out.contains("1 passed"), "{out}{err}");
}

#[tokio::test]
async fn a_jail_ends_as_its_program_and_with_all_that_it_has_left() {
    if !geteuid().is_root() {
        return skip("the tests run as an ordinary user, whose range of ids is not known");
    }
    let place = tempfile::tempdir().unwrap();
    let staging = staging(place.path());
    let spawner = Spawner::start_with(Path::new(env!("CARGO_BIN_EXE_kiln"))).unwrap();
    for (script, code) in [("exit 3", 3), ("kill -9 $$", 128 + 9), ("exec no-such-program", 127)] {
        let command = Command::new("sh").args(["-c", script]).jail(jail(&staging, JailNetwork::Host));
        let output = spawner.output(command, LIMIT).await.unwrap();
        assert_eq!(output.status.to_string(), format!("exit status {code}"), "{script}");
    }
    // A process that is left has another session, no parent, and the pipe: the answer would not come if it lived on.
    let script = "mount -t tmpfs left /work && setsid sleep 1000 & sleep 0.1; echo said; exit 0";
    let argv = ["sh", "-c", script].map(OsString::from);
    let (said, complained, ended) = run(&spawner, jail(&staging, JailNetwork::Host), &argv).await;
    assert_eq!((said.as_str(), ended), ("said\n", true), "{complained}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(staging.to_str().unwrap()), "{mounts}");
}
