//! The keys of the user's git configuration that apply while the host fetches: how to reach a server, and credentials. Keys
//! that run a program on fetched files (filters, hooks, file system monitors) do not.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::Path,
    time::Duration,
};

use super::inherited;
use crate::process::{Command, Spawner, Stdio};

/// Keys, as git prints them.
const KEYS: &str = r"^(http|credential|url|ssh)\.|^core\.sshcommand$";
/// Variables with the paths of the configuration.
const PLACES: [&str; 3] = ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"];
/// Reading a few files takes milliseconds.
const ANSWER: Duration = Duration::from_secs(20);

/// The settings as variables of git's (`GIT_CONFIG_COUNT`). git runs in `directory`, which is in no repository. If it fails,
/// there are no settings: the next call of git shows the error.
pub(super) async fn of_user(directory: &Path, spawner: &Spawner) -> Vec<(OsString, OsString)> {
    let set = PLACES.iter().filter_map(|name| env::var_os(name).map(|value| (*name, value)));
    let command = Command::new("git")
        .args(["config", "--includes", "--null", "--get-regexp", KEYS])
        .current_dir(directory)
        .clear_env()
        .envs(inherited::variables())
        .envs(set)
        .env("GIT_CEILING_DIRECTORIES", directory.parent().unwrap_or(directory))
        .stdout(Stdio::Piped);
    match spawner.output(command, ANSWER).await {
        Ok(output) if output.status.success() => variables(&output.stdout),
        Ok(_) | Err(_) => variables(&[]),
    }
}

/// Parses `key LF value NUL …`; a key alone is true.
fn variables(listed: &[u8]) -> Vec<(OsString, OsString)> {
    let mut variables = Vec::new();
    let entries = listed.split(|&byte| byte == 0).filter(|entry| !entry.is_empty());
    for (number, entry) in entries.enumerate() {
        let mut parts = entry.splitn(2, |&byte| byte == b'\n').map(OsStr::from_bytes);
        let (key, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or(OsStr::new("true")));
        variables.push((format!("GIT_CONFIG_KEY_{number}").into(), key.to_owned()));
        variables.push((format!("GIT_CONFIG_VALUE_{number}").into(), value.to_owned()));
    }
    variables.push(("GIT_CONFIG_COUNT".into(), (variables.len() / 2).to_string().into()));
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_numbered_and_counted() {
        let of = |listed: &[u8]| -> Vec<String> {
            variables(listed)
                .iter()
                .map(|(name, value)| format!("{}={}", name.display(), value.display()))
                .collect()
        };
        assert_eq!(of(b""), ["GIT_CONFIG_COUNT=0"]);
        assert_eq!(
            of(b"http.sslverify\0url.https://a/.insteadof\ngh:\nx\0"),
            [
                "GIT_CONFIG_KEY_0=http.sslverify",
                "GIT_CONFIG_VALUE_0=true",
                "GIT_CONFIG_KEY_1=url.https://a/.insteadof",
                "GIT_CONFIG_VALUE_1=gh:\nx",
                "GIT_CONFIG_COUNT=2",
            ]
        );
    }
}
