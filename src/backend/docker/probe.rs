//! Looks for the daemon of the `docker` command, and checks that kiln can build in it.
//!
//! It runs the command, which evaluates `DOCKER_HOST` and contexts. After it: the plan's facts, and `doctor`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub use super::fingerprints::find_once;

use crate::{
    env::Env,
    exit::Failure,
    host::find_program,
    process::{Command, Spawner},
};

/// The limit for an answer: a daemon answers within milliseconds, unless it is just starting.
const ANSWER: Duration = Duration::from_secs(30);

/// The default endpoint of a daemon.
const DEFAULT_ENDPOINT: &str = "unix:///var/run/docker.sock";

/// The command, and facts of its daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Docker {
    /// The command.
    pub path: PathBuf,
    /// Where the daemon listens: `unix://PATH` or `tcp://HOST:PORT`.
    pub endpoint: String,
    /// The version of the daemon.
    pub version: String,
    /// The daemon's own directory, which has its volumes.
    pub root: PathBuf,
    /// The storage driver: `overlay2`, `vfs`.
    pub driver: String,
    /// The security options, as the daemon names them: `seccomp`, `apparmor`, ….
    pub security: Vec<String>,
}

/// The needed part of `docker info --format '{{json .}}'`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Info {
    server_version: String,
    docker_root_dir: PathBuf,
    driver: String,
    #[serde(rename = "OSType")]
    os_type: String,
    security_options: Option<Vec<String>>,
}

/// Looks for the command and its daemon.
///
/// # Errors
/// A host failure if the command or the daemon is missing, or if kiln cannot build in this daemon.
pub async fn find(env: &Env, spawner: &Spawner) -> Result<Docker> {
    let path = find_program(env, "docker").ok_or_else(|| {
        Failure::host("docker is not installed", "images/setup.sh docker (apt-get install docker.io)")
    })?;
    let command = |arguments: &[&str]| Command::new(&path).args(arguments);
    let (endpoint, info) = tokio::try_join!(
        spawner.output(command(&["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]), ANSWER),
        spawner.output(command(&["info", "--format", "{{json .}}"]), ANSWER),
    )?;
    let endpoint = match String::from_utf8_lossy(&endpoint.stdout).trim() {
        "" => DEFAULT_ENDPOINT.to_owned(),
        endpoint => endpoint.to_owned(),
    };
    check_local(&endpoint)?;
    if !info.status.success() {
        return Err(unreachable(String::from_utf8_lossy(&info.stderr).trim()).into());
    }
    let info: Info = serde_json::from_slice(&info.stdout).context("understand docker info")?;
    Ok(of_info(&path, endpoint, info)?)
}

/// Refuses a daemon on another machine, which has neither source nor cache.
fn check_local(endpoint: &str) -> Result<(), Failure> {
    let local = endpoint.starts_with("unix://")
        || ["tcp://localhost:", "tcp://127.", "tcp://[::1]:"].iter().any(|host| endpoint.starts_with(host));
    if local {
        return Ok(());
    }
    Err(Failure::host(
        format!(
            "the docker daemon at {endpoint} is not on this machine: it cannot see the source and the cache"
        ),
        "unset DOCKER_HOST and DOCKER_CONTEXT, or use another --runner",
    ))
}

fn unreachable(stderr: &str) -> Failure {
    let way_out = if stderr.contains("permission denied") {
        "usermod -aG docker $USER, then log in anew"
    } else {
        "systemctl start docker, or images/setup.sh docker"
    };
    Failure::host(format!("no docker daemon answers: {stderr}"), way_out)
}

fn of_info(path: &Path, endpoint: String, info: Info) -> Result<Docker, Failure> {
    let Info { server_version, docker_root_dir, driver, os_type, security_options } = info;
    if os_type != "linux" {
        return Err(Failure::host(
            format!("the docker daemon runs {os_type:?} containers, not Linux ones"),
            "use another --runner",
        ));
    }
    // `name=seccomp,profile=default`
    let name = |option: &String| {
        let first = option.split(',').next().unwrap_or_default();
        first.strip_prefix("name=").unwrap_or(first).to_owned()
    };
    let security: Vec<String> = security_options.unwrap_or_default().iter().map(name).collect();
    for (option, what) in [("rootless", "is rootless"), ("userns", "remaps users (userns-remap)")] {
        if security.iter().any(|known| known == option) {
            return Err(Failure::host(
                format!("the docker daemon {what}: it cannot set the owners of a build's files"),
                "use --runner bubblewrap, which needs no daemon, or a daemon that runs as root",
            ));
        }
    }
    let (path, version, root) = (path.to_owned(), server_version, docker_root_dir);
    Ok(Docker { path, endpoint, version, root, driver, security })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_on_another_host_is_refused() {
        for endpoint in ["unix:///var/run/docker.sock", "tcp://127.0.0.1:2375", "tcp://localhost:2375"] {
            assert_eq!(check_local(endpoint), Ok(()), "{endpoint}");
        }
        for endpoint in
            ["tcp://10.0.0.1:2375", "ssh://build@host", "tcp://127x.example:1", "npipe:////./pipe/d"]
        {
            let refused = check_local(endpoint).expect_err(endpoint);
            assert!(refused.what.contains(endpoint), "{}", refused.what);
        }
    }

    #[test]
    fn docker_info_is_parsed() {
        let text = r#"{"ServerVersion":"20.10.24","DockerRootDir":"/var/lib/docker","Driver":"overlay2","OSType":"linux",
            "SecurityOptions":["name=apparmor","name=seccomp,profile=default"],"More":1}"#;
        let docker = of_info(
            Path::new("/usr/bin/docker"),
            DEFAULT_ENDPOINT.into(),
            serde_json::from_str(text).expect("JSON"),
        );
        let docker = docker.expect("usable");
        assert_eq!(docker.security, ["apparmor", "seccomp"]);
        assert_eq!(docker.root, Path::new("/var/lib/docker"));
        let rootless = text.replace("name=apparmor", "name=rootless");
        let refused =
            of_info(Path::new("docker"), String::new(), serde_json::from_str(&rootless).expect("JSON"));
        assert!(refused.expect_err("refused").what.contains("rootless"));
        assert!(of_info(Path::new("docker"), String::new(), Info::default()).is_err());
    }

    #[test]
    fn an_unreachable_daemon_has_a_way_out() {
        assert!(unreachable("permission denied while …").way_out.contains("usermod"));
        assert!(unreachable("Cannot connect …").way_out.contains("start"));
    }
}
