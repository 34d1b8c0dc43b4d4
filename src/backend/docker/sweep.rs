//! Removes objects of killed runs: volumes, and containers that were created and not started.
//!
//! Each object has a label with its run's directory, which is locked until the run ends. A missing or unlocked directory is that of
//! a dead run. A directory that this user may not read belongs to another user, and its objects are kept.
//!
//! A build sweeps at its start and at its end: at the start dockerd may still be creating or removing a container of a run that
//! was just killed.

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::Result;

use super::{
    api::{Api, Labelled, ObjectKind, Removal},
    files::RUN_LABEL,
};
use crate::rundir;

/// How long dockerd may take for a removal in progress.
const REMOVAL: Duration = Duration::from_secs(10);

/// Whether to wait for removals in progress. Volumes of a container are in use until it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RemovalWait {
    /// Do not wait: the next sweep removes the volumes.
    Skip,
    /// Wait.
    Await,
}

/// Removes all objects of dead runs.
pub(super) async fn sweep(api: &Api, removal_wait: RemovalWait) -> Result<()> {
    let (containers, volumes) = tokio::try_join!(
        api.labelled(ObjectKind::Container, RUN_LABEL),
        api.labelled(ObjectKind::Volume, RUN_LABEL)
    )?;
    // Containers come first, since they use volumes.
    for (kind, objects) in [(ObjectKind::Container, containers), (ObjectKind::Volume, volumes)] {
        for id in abandoned(&objects) {
            let removal = api.remove(kind, id).await?;
            tracing::debug!(id, ?removal, "of a dead run");
            if removal == Removal::InProgress && removal_wait == RemovalWait::Await {
                api.wait_removed(id, REMOVAL).await?;
            }
        }
    }
    Ok(())
}

/// The ids of objects whose run is dead.
fn abandoned(objects: &[Labelled]) -> Vec<&str> {
    let runs: BTreeSet<&Path> = objects.iter().map(|object| Path::new(&object.label)).collect();
    let dead: BTreeSet<&Path> = runs.into_iter().filter(|run| rundir::is_dead(run)).collect();
    let of_dead = objects.iter().filter(|object| dead.contains(Path::new(&object.label)));
    of_dead.map(|object| object.id.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixListener,
        thread,
    };

    use super::*;

    /// A daemon that is removing a container, and has its volume. Returns the requests that it got.
    fn daemon(socket: &Path) -> thread::JoinHandle<Vec<String>> {
        let listener = UnixListener::bind(socket).expect("bound");
        thread::spawn(move || {
            let mut requests = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().expect("a client connects");
                let mut bytes = [0; 1024];
                let length = stream.read(&mut bytes).expect("read");
                let line =
                    String::from_utf8_lossy(&bytes[..length]).lines().next().unwrap_or_default().to_owned();
                let answer = match line.split(['?', ' ']).collect::<Vec<_>>()[..] {
                    ["GET", "/containers/json", ..] => {
                        "200 OK\r\n\r\n[{\"Id\":\"c\",\"Labels\":{\"kiln.run\":\"/nowhere\"}}]"
                    }
                    ["GET", ..] => {
                        "200 OK\r\n\r\n{\"Volumes\":[{\"Name\":\"v\",\"Labels\":{\"kiln.run\":\"/nowhere\"}}]}"
                    }
                    ["DELETE", "/containers/c", ..] => "409 Conflict\r\n\r\n{\"message\":\"is in progress\"}",
                    _ => "200 OK\r\n\r\n{}",
                };
                stream.write_all(format!("HTTP/1.0 {answer}").as_bytes()).expect("written");
                if !line.starts_with("GET") {
                    requests.push(line.trim_end_matches(" HTTP/1.0").to_owned());
                }
                if line.starts_with("DELETE /volumes") {
                    return requests;
                }
            }
        })
    }

    #[tokio::test]
    async fn a_removal_in_progress_is_awaited_at_the_end_of_a_build() {
        let (delete, wait) =
            ("DELETE /containers/c?force=1&v=1", "POST /containers/c/wait?condition=removed");
        for (removal_wait, expected) in [
            (RemovalWait::Skip, vec![delete, "DELETE /volumes/v"]),
            (RemovalWait::Await, vec![delete, wait, "DELETE /volumes/v"]),
        ] {
            let work = tempfile::tempdir().expect("a directory");
            let socket = work.path().join("socket");
            let requests = daemon(&socket);
            let api = Api { endpoint: format!("unix://{}", socket.display()) };
            sweep(&api, removal_wait).await.expect("swept");
            assert_eq!(requests.join().expect("it served"), expected);
        }
    }

    #[test]
    fn only_objects_of_dead_runs_are_abandoned() {
        let work = tempfile::tempdir().expect("a directory");
        let living = work.path().join("living");
        std::fs::create_dir(&living).expect("made");
        let lock = std::fs::File::create(living.join("lock")).expect("made");
        let _held =
            nix::fcntl::Flock::lock(lock, nix::fcntl::FlockArg::LockExclusiveNonblock).expect("locked");
        let object = |id: &str, run: &str| Labelled { id: id.into(), label: run.into() };
        let gone = work.path().join("gone").display().to_string();
        let objects =
            [object("one", &living.display().to_string()), object("two", &gone), object("three", "")];
        assert_eq!(abandoned(&objects), ["two"]);
    }
}
