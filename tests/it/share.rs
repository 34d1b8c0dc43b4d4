//! A virtiofsd, and kiln's own device, without a guest: it answers on the descriptor that QEMU would get, and its end is reported with its last output.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use kiln::{
    env::Env,
    home::Home,
    process::{ExitStatus, Spawner},
    share::{
        Caching, Daemon, Directory, Owner, Server,
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

/// The daemons of this machine that can serve this user: kiln's own, one found as builds find it, and Debian 12's beside it.
async fn daemons(spawner: &Spawner) -> Vec<Box<dyn Daemon>> {
    let own = Embedded { program: env!("CARGO_BIN_EXE_kiln").into(), request_queues: 2 };
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
