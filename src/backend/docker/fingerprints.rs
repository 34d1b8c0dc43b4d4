//! What a daemon said of itself, kept for as long as it is that daemon: asking costs two commands at the start of each build.
//!
//! A daemon makes its socket anew when it starts, so what it said holds while command, settings and socket are those that
//! they were, and somebody listens at the socket. One that is spoken to otherwise is asked each time.

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
/// What leads the command to another daemon.
const VARIABLES: [&str; 3] = ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"];

/// What was found out, and under which circumstances.
#[derive(Debug, Serialize, Deserialize)]
struct Memo {
    fingerprint: Fingerprint,
    docker: Docker,
}

/// All that the answer hangs on.
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

/// As [`super::probe::find`], but a daemon that has said it once is not asked again.
///
/// # Errors
/// As there.
pub async fn find_once(env: &Env, home: &Home, spawner: &Spawner) -> Result<Docker> {
    let command = find_program(env, "docker");
    // A memo that cannot be read is of another version of kiln, and is made anew.
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

/// Whether nothing has changed, and somebody listens.
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
        assert!(!is_valid(&second, &env), "nobody listens");
        std::fs::remove_file(&socket).expect("removed");
        let _again = UnixListener::bind(&socket).expect("bound");
        assert!(!is_valid(&second, &env), "another daemon");
    }
}
