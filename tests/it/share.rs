//! A virtiofsd, and kiln's own device, without a guest: it answers on the descriptor that QEMU would get, and its end is reported with its last output.

use std::{
    ffi::OsString,
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use kiln::{
    env::Env,
    home::Home,
    process::{ExitStatus, IdMap, Spawner},
    share::{
        Caching, Daemon, Directory, Owner, Sandbox, Server,
        embedded::Embedded,
        virtiofsd::{self, DaemonKind, Service, Virtiofsd},
    },
};
use kiln_protocol::Access;
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, getegid, geteuid},
};

use crate::{process::spawner, skip::skip};

/// VHOST_USER_GET_FEATURES, version 1, no payload (QEMU's docs/interop/vhost-user.rst).
const GET_FEATURES: [u8; 12] = [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];

/// kiln's own device.
fn own(request_queues: u32) -> Embedded {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_kiln"));
    Embedded { executable: program.clone(), program, request_queues }
}

/// The daemons of this machine that can serve this user: kiln's own, one found as builds find it, and Debian 12's beside it.
async fn daemons(spawner: &Spawner) -> Vec<Box<dyn Daemon>> {
    let own = own(2);
    let found = found(spawner).await.into_iter().map(|daemon| Box::new(daemon) as Box<dyn Daemon>);
    std::iter::once(Box::new(own) as Box<dyn Daemon>).chain(found).collect()
}

async fn found(spawner: &Spawner) -> Vec<Virtiofsd> {
    let env = Env::of_process();
    let home = Home::find(&env).unwrap_or_else(|_| Home::at("/nonexistent"));
    let uid = geteuid().as_raw();
    let mut daemons = Vec::new();
    match virtiofsd::find(&env, &home, spawner, Service { uid, access: Access::ReadWrite }).await {
        Ok(found) => daemons.push(found.virtiofsd),
        Err(why) => skip(&format!("{why:#}")),
    }
    let old = Path::new("/usr/lib/qemu/virtiofsd");
    if uid == 0 && old.exists() && !daemons.iter().any(|daemon| daemon.kind == DaemonKind::C) {
        daemons.push(Virtiofsd { path: old.into(), kind: DaemonKind::C });
    }
    daemons
}

fn start(spawner: &Spawner, run: &Path, daemon: &dyn Daemon, path: PathBuf) -> (Server, UnixStream) {
    let (access, caching) = (Access::ReadWrite, Caching::Alone);
    let directory = Directory { path, access, caching, inside: (1000, 1000) };
    let owner = Owner { uid: geteuid().as_raw(), gid: getegid().as_raw() };
    let (server, connected) = Server::start(spawner, run, daemon, &directory, owner, None).unwrap();
    (server, connected.into())
}

#[tokio::test]
async fn a_daemon_answers_and_ends_with_its_connection() {
    let spawner = spawner();
    let run = tempfile::tempdir().unwrap();
    let shared = tempfile::Builder::new().prefix("a b,c ä").tempdir().unwrap();
    for daemon in daemons(&spawner).await {
        let (mut server, mut connected) = start(&spawner, run.path(), &*daemon, shared.path().into());
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 0, "the socket has no name");
        connected.write_all(&GET_FEATURES).unwrap();
        let mut answer = [0; 20];
        connected.read_exact(&mut answer).unwrap();
        assert_eq!(answer[..4], [1, 0, 0, 0], "{daemon:?}");
        drop(connected);
        let death = server.died().await.unwrap();
        assert_eq!(death.status, ExitStatus::Code(0), "{death}");
        assert!(!death.last_lines.is_empty(), "{death:?}");
        assert_eq!(server.died().await.unwrap(), death, "asked again");
    }
}

#[tokio::test]
async fn a_killed_daemon_is_told_and_takes_its_other_half_along() {
    let spawner = spawner();
    let run = tempfile::tempdir().unwrap();
    for daemon in daemons(&spawner).await {
        let (mut server, mut connected) = start(&spawner, run.path(), &*daemon, run.path().into());
        connected.write_all(&GET_FEATURES).unwrap();
        connected.read_exact(&mut [0; 20]).unwrap();
        kill(Pid::from_raw(server.id().cast_signed()), Signal::SIGKILL).unwrap();
        assert_eq!(server.died().await.unwrap().status, ExitStatus::Signal(9), "{daemon:?}");
        // The half that serves held the connection: it is closed, or reset, once that is gone.
        assert!(matches!(connected.read(&mut [0; 1]), Ok(0) | Err(_)), "{daemon:?}");
    }
}

#[tokio::test]
async fn a_daemon_that_cannot_start_says_why() {
    let spawner = spawner();
    let run = tempfile::tempdir().unwrap();
    for daemon in daemons(&spawner).await {
        let missing = run.path().join("no-such-directory");
        let (mut server, _connected) = start(&spawner, run.path(), &*daemon, missing);
        let death = server.died().await.unwrap();
        assert_ne!(death.status, ExitStatus::Code(0), "{daemon:?}");
        assert!(
            death.to_string().contains("no-such-directory") || death.to_string().contains("No such file"),
            "{death}"
        );
    }
}

#[tokio::test]
async fn a_stop_ends_it_and_gives_its_last_words() {
    let spawner = spawner();
    let run = tempfile::tempdir().unwrap();
    for daemon in daemons(&spawner).await {
        let (server, connected) = start(&spawner, run.path(), &*daemon, run.path().into());
        drop(connected);
        server.stop(Duration::from_secs(30)).await.unwrap();
    }
}

/// A descriptor of the device: the start of `/proc/PID/status` fields.
fn status(pid: u32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{field} is not in {text}")).trim().to_owned()
}

#[tokio::test]
async fn the_devices_process_has_the_directory_and_few_rights() {
    let spawner = spawner();
    let run = tempfile::tempdir().unwrap();
    let shared = tempfile::tempdir().unwrap();
    fs::write(shared.path().join("only this"), "").unwrap();
    let device = own(3);
    let (server, mut connected) = start(&spawner, run.path(), &device, shared.path().into());
    connected.write_all(&GET_FEATURES).unwrap();
    connected.read_exact(&mut [0; 20]).unwrap();
    let outer = server.id();
    let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap();
    let inner: u32 = children.trim().parse().unwrap();
    // It waits, and can do nothing else.
    assert_eq!(status(outer, "CapEff"), "0000000000000000");
    // CHOWN, DAC_OVERRIDE, FOWNER and FSETID.
    // An ordinary user cannot give up what may be gained, and with NoNewPrivs nothing can be gained.
    let bounding = if geteuid().is_root() { "CapBnd" } else { "CapPrm" };
    for set in ["CapEff", "CapPrm", bounding] {
        assert_eq!(status(inner, set), "000000000000001b", "{set}");
    }
    assert_eq!((status(inner, "CapInh"), status(inner, "CapAmb")), ("0".repeat(16), "0".repeat(16)));
    assert_eq!((status(inner, "NoNewPrivs"), status(inner, "Seccomp")), ("1".into(), "2".into()));
    // A worker for each queue, one for requests that must not wait, and those for the connection, the last of which may start after
    // the first answer.
    let started = || status(inner, "Threads") == "7";
    let deadline = Instant::now() + Duration::from_secs(30);
    while !started() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(status(inner, "Threads"), "7");
    let namespace = |pid: &str, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    for kind in ["mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        assert_ne!(namespace(&inner.to_string(), kind), namespace("self", kind), "{kind}");
    }
    let root = fs::read_dir(format!("/proc/{inner}/root")).unwrap();
    let names: Vec<_> = root.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["only this"]);
    let mounts = fs::read_to_string(format!("/proc/{inner}/mountinfo")).unwrap();
    assert!(mounts.lines().count() == 1 && mounts.contains("nosuid,nodev,noexec"), "{mounts}");
}

/// kiln's own device as root has it in a container that may not make namespaces.
#[derive(Debug)]
struct InChroot(Embedded);

impl Daemon for InChroot {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn argv(
        &self,
        directory: &Directory,
        owner: Owner,
        _: Sandbox,
    ) -> Result<Vec<OsString>, kiln::exit::Failure> {
        self.0.argv(directory, owner, Sandbox::Chroot)
    }

    fn ids(&self, directory: &Directory, owner: Owner) -> anyhow::Result<Option<IdMap>> {
        self.0.ids(directory, owner)
    }
}

#[tokio::test]
async fn without_namespaces_the_device_has_its_root_and_its_rights_alone() {
    let spawner = spawner();
    let run = tempfile::tempdir().unwrap();
    let shared = tempfile::tempdir().unwrap();
    fs::write(shared.path().join("only this"), "").unwrap();
    let device = InChroot(own(2));
    let (mut server, mut connected) = start(&spawner, run.path(), &device, shared.path().into());
    if !geteuid().is_root() {
        let death = server.died().await.unwrap();
        assert!(death.to_string().contains("Operation not permitted"), "{death}");
        return;
    }
    connected.write_all(&GET_FEATURES).unwrap();
    connected.read_exact(&mut [0; 20]).unwrap();
    let id = server.id();
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(status(id, set), "000000000000001b", "{set}");
    }
    assert_eq!((status(id, "CapInh"), status(id, "CapAmb")), ("0".repeat(16), "0".repeat(16)));
    assert_eq!((status(id, "NoNewPrivs"), status(id, "Seccomp")), ("1".into(), "2".into()));
    assert_eq!(status(id, "Groups"), "");
    let root = fs::read_dir(format!("/proc/{id}/root")).unwrap();
    let names: Vec<_> = root.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["only this"]);
    drop(connected);
    assert_eq!(server.died().await.unwrap().status, ExitStatus::Code(0));
}

/// A vhost-user message: request, version 1, size of the payload, payload.
fn message(request: u32, size: u32, payload: &[u8]) -> Vec<u8> {
    [&request.to_ne_bytes()[..], &1_u32.to_ne_bytes(), &size.to_ne_bytes(), payload].concat()
}

#[tokio::test]
async fn a_front_end_that_breaks_the_protocol_ends_the_device_in_order() {
    let spawner = spawner();
    let run = tempfile::tempdir().unwrap();
    let device = own(2);
    let pair = |a: u32, b: u32| [a.to_ne_bytes(), b.to_ne_bytes()].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("half a header", vec![1, 0, 0, 0, 1, 0]),
        ("a request without a number", message(0, 0, &[])),
        ("an unknown request", message(4000, 0, &[])),
        ("version 0", [[1, 0, 0, 0], [0; 4], [0; 4]].concat()),
        ("a size of 4 GiB", message(2, u32::MAX, &[0; 8])),
        ("half a payload", message(2, 8, &[0; 3])),
        ("features that were not offered", message(2, 8, &u64::MAX.to_ne_bytes())),
        ("a memory table without descriptors", message(5, 40, &[1; 40])),
        ("a memory table of too many regions", message(5, 8, &pair(u32::MAX, 0))),
        ("a queue that is none", message(8, 8, &pair(99, 16))),
        ("a queue without a size", message(8, 8, &pair(0, 0))),
        ("a queue that is too large", message(8, 8, &pair(0, 2048))),
        ("addresses of nothing", message(9, 40, &[0xff; 40])),
        ("a kick without a descriptor", message(12, 8, &0_u64.to_ne_bytes())),
        ("the base of a queue that is none", message(11, 8, &pair(77, 0))),
        ("noise", (0..=255).cycle().take(4096).collect()),
    ];
    for (what, bytes) in cases {
        let (mut server, mut connected) = start(&spawner, run.path(), &device, run.path().into());
        // Best effort: the device may close the connection before it has read all.
        let _ = connected.write_all(&bytes);
        connected.shutdown(std::net::Shutdown::Write).unwrap();
        let died = tokio::time::timeout(Duration::from_secs(20), server.died()).await;
        let death = died.unwrap_or_else(|_| panic!("{what}: it hangs")).unwrap();
        assert!(matches!(death.status, ExitStatus::Code(0 | 1)), "{what}: {death}");
        assert!(!death.last_lines.is_empty(), "{what}: {death}");
    }
}
