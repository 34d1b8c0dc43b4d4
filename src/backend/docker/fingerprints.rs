//! A memo of the facts of a daemon, which saves two commands at the start of each build.
//!
//! A daemon makes a new socket when it starts. So the memo is valid while command, settings and socket are the same, and a daemon
//! listens at the socket. There is no memo of a daemon with another kind of endpoint.

use std::{os::unix::net::UnixStream, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::probe::{Docker, find};
use crate::{
    env::Env,
    home::Home,
    host::{MEMOS, find_program, identity},
    process::Spawner,
};

/// The file of the memo.
const NAME: &str = "docker.json";
/// The variables that select another daemon.
const VARIABLES: [&str; 3] = ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"];

/// The facts of a daemon, and the fingerprint that they depend on.
#[derive(Debug, Serialize, Deserialize)]
struct Memo {
    fingerprint: Fingerprint,
    docker: Docker,
}

/// Everything that selects or changes the daemon.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Fingerprint {
    command: Option<[i64; 5]>,
    variables: Vec<Option<String>>,
    settings: Option<[i64; 5]>,
    socket: Option<[i64; 5]>,
}

impl Fingerprint {
    fn now(env: &Env, command: &Path, socket: &Path) -> Self {
        let settings = env.path("DOCKER_CONFIG").map(Path::to_owned);
        let settings = settings.or_else(|| env.path("HOME").map(|home| home.join(".docker")));
        let value = |name| env.get(name).map(|value| value.to_string_lossy().into_owned());
        Self {
            command: identity(command),
            variables: VARIABLES.map(value).to_vec(),
            settings: settings.and_then(|settings| identity(&settings.join("config.json"))),
            socket: identity(socket),
        }
    }
}

/// As [`super::probe::find`], with the memo.
///
/// # Errors
/// As [`super::probe::find`].
pub async fn find_once(env: &Env, home: &Home, spawner: &Spawner) -> Result<Docker> {
    let command = find_program(env, "docker");
    // An invalid memo is from another version of kiln, and is replaced.
    let memo = home.read(MEMOS, NAME)?.and_then(|text| serde_json::from_slice::<Memo>(&text).ok());
    if let Some(memo) = memo.filter(|memo| Some(&memo.docker.path) == command.as_ref() && is_valid(memo, env))
    {
        return Ok(memo.docker);
    }
    let docker = find(env, spawner).await?;
    if let Some(socket) = docker.endpoint.strip_prefix("unix://") {
        let fingerprint = Fingerprint::now(env, &docker.path, Path::new(socket));
        let memo = Memo { fingerprint, docker: docker.clone() };
        home.write(MEMOS, NAME, &serde_json::to_vec(&memo).context("write a memo")?)?;
    }
    Ok(docker)
}

/// Whether the fingerprint is the same, and a daemon listens.
fn is_valid(memo: &Memo, env: &Env) -> bool {
    let Memo { fingerprint, docker } = memo;
    let Some(socket) = docker.endpoint.strip_prefix("unix://").map(Path::new) else { return false };
    *fingerprint == Fingerprint::now(env, &docker.path, socket) && UnixStream::connect(socket).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_memo_is_valid_for_the_same_daemon_only() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("socket");
        let listener = UnixListener::bind(&socket).expect("bound");
        let env: Env = [("HOME", directory.path().to_str().expect("UTF-8"))].into_iter().collect();
        let docker = Docker {
            path: "/bin/true".into(),
            endpoint: format!("unix://{}", socket.display()),
            version: "1".into(),
            root: "/d".into(),
            driver: "overlay2".into(),
            security: Vec::new(),
        };
        let memo =
            || Memo { fingerprint: Fingerprint::now(&env, &docker.path, &socket), docker: docker.clone() };
        let first = memo();
        assert!(is_valid(&first, &env));
        let elsewhere = [("HOME", directory.path().to_str().expect("UTF-8")), ("DOCKER_HOST", "tcp://h")];
        assert!(!is_valid(&first, &elsewhere.into_iter().collect()));
        std::fs::create_dir(directory.path().join(".docker")).expect("made");
        std::fs::write(directory.path().join(".docker/config.json"), "{}").expect("written");
        assert!(!is_valid(&first, &env), "the settings may name another context");
        let second = memo();
        drop(listener);
        assert!(!is_valid(&second, &env), "there is no listener");
        std::fs::remove_file(&socket).expect("removed");
        let _again = UnixListener::bind(&socket).expect("bound");
        assert!(!is_valid(&second, &env), "another daemon");
    }
}
