//! What runs left that were killed: containers that were made and not started, volumes.
//!
//! Everything bears a label with its run's directory. That is locked for as long as the run lives; a directory that is gone or not locked belongs to
//! a dead run. One that this user may not look at is somebody else's, and left alone.
//!
//! A build looks at its start and at its end: when it starts, dockerd may still be making what a run that was just killed had
//! asked for, or removing a container of it.

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::Result;

use super::{
    api::{Api, Kind, Labelled, Removal},
    argv::RUN_LABEL,
};
use crate::rundir;

/// How long dockerd may take for what it is removing already.
const REMOVAL: Duration = Duration::from_secs(10);

/// Whether it is waited for what dockerd is removing already: what that holds is in use until it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// It is not: the next sweep finds what is left.
    None,
    /// It is.
    Some,
}

/// Removes it.
pub(super) async fn sweep(api: &Api, patience: Patience) -> Result<()> {
    let (containers, volumes) =
        tokio::try_join!(api.labelled(Kind::Container, RUN_LABEL), api.labelled(Kind::Volume, RUN_LABEL))?;
    // First what uses them.
    for (kind, things) in [(Kind::Container, containers), (Kind::Volume, volumes)] {
        for id in abandoned(&things) {
            let removal = api.remove(kind, id).await?;
            tracing::debug!(id, ?removal, "of a dead run");
            if removal == Removal::UnderWay && patience == Patience::Some {
                api.removed(id, REMOVAL).await?;
            }
        }
    }
    Ok(())
}

/// Those whose run is dead.
fn abandoned(things: &[Labelled]) -> Vec<&str> {
    let runs: BTreeSet<&Path> = things.iter().map(|thing| Path::new(&thing.label)).collect();
    let dead: BTreeSet<&Path> = runs.into_iter().filter(|run| rundir::is_dead(run)).collect();
    let of_dead = things.iter().filter(|thing| dead.contains(Path::new(&thing.label)));
    of_dead.map(|thing| thing.id.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixListener,
        thread,
    };

    use super::*;

    /// A daemon with a container that it is removing, and the volume of that; gives what it was asked.
    fn daemon(socket: &Path) -> thread::JoinHandle<Vec<String>> {
        let listener = UnixListener::bind(socket).expect("bound");
        thread::spawn(move || {
            let mut asked = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().expect("somebody asks");
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
                    asked.push(line.trim_end_matches(" HTTP/1.0").to_owned());
                }
                if line.starts_with("DELETE /volumes") {
                    return asked;
                }
            }
        })
    }

    #[tokio::test]
    async fn the_end_of_a_removal_is_waited_for_at_the_end_of_a_build() {
        let (delete, wait) =
            ("DELETE /containers/c?force=1&v=1", "POST /containers/c/wait?condition=removed");
        for (patience, expected) in [
            (Patience::None, vec![delete, "DELETE /volumes/v"]),
            (Patience::Some, vec![delete, wait, "DELETE /volumes/v"]),
        ] {
            let work = tempfile::tempdir().expect("a directory");
            let socket = work.path().join("socket");
            let asked = daemon(&socket);
            let api = Api { endpoint: format!("unix://{}", socket.display()) };
            sweep(&api, patience).await.expect("swept");
            assert_eq!(asked.join().expect("it served"), expected);
        }
    }

    #[test]
    fn only_what_belongs_to_dead_runs_is_abandoned() {
        let work = tempfile::tempdir().expect("a directory");
        let living = work.path().join("living");
        std::fs::create_dir(&living).expect("made");
        let lock = std::fs::File::create(living.join("lock")).expect("made");
        let _held =
            nix::fcntl::Flock::lock(lock, nix::fcntl::FlockArg::LockExclusiveNonblock).expect("locked");
        let thing = |id: &str, run: &str| Labelled { id: id.into(), label: run.into() };
        let gone = work.path().join("gone").display().to_string();
        let things = [thing("one", &living.display().to_string()), thing("two", &gone), thing("three", "")];
        assert_eq!(abandoned(&things), ["two"]);
    }
}
