//! One repository into the cache: the script of `git-checkout` itself, run on the host in a directory that is thrown away.
//!
//! So the copies that lie in the cache are those which a build would have made, submodules and cherry-picks included. The
//! script takes its inputs as variables, so that nothing of a build file becomes shell; git is given no settings of the
//! repository to obey but its own.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail};

use super::GitSource;
use crate::process::{Command, Spawner};

/// Kernel-sized histories take minutes on slow lines; nothing takes longer than this.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// Fetches what `git` asks for into `cache`; the answer is what the script said.
pub(super) async fn fetch(git: &GitSource, cache: &Path, spawner: &Spawner) -> Result<Vec<String>> {
    let scratch =
        tempfile::Builder::new().prefix("kiln-git-").tempdir().context("make a scratch directory")?;
    let at_end = spawner.remove_at_end(scratch.path());
    let settings = scratch.path().join("gitconfig");
    // The script notes whose repositories it trusts. That belongs into no settings of the user's, which hold nevertheless.
    let user = std::env::var_os("HOME").map(|home| Path::new(&home).join(".gitconfig"));
    let include = user.filter(|path| path.is_file()).map_or(String::new(), |path| {
        format!(
            "[include]\n\tpath = \"{}\"\n",
            path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"")
        )
    });
    std::fs::write(&settings, include).with_context(|| format!("write {}", settings.display()))?;
    let script = format!("set -eo pipefail\n{}", git.script);
    let command = Command::new("bash")
        .args(["-c", &script])
        .current_dir(scratch.path())
        .envs(git.inputs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        .env("input_destination", "tree")
        .env("kiln_cache", cache)
        .env("GIT_CONFIG_GLOBAL", &settings);
    let output = spawner.output(command, LIMIT).await?;
    let path = scratch.path().to_owned();
    scratch.close().with_context(|| format!("remove {}", path.display()))?;
    at_end.forget(&path);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let said: Vec<String> = stdout.lines().map(str::to_owned).collect();
    if output.status.success() {
        return Ok(said);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let reasons: Vec<&str> =
        said.iter().rev().take(1).map(String::as_str).chain(stderr.lines().rev().take(2)).collect();
    bail!("{}", reasons.join("; "))
}
