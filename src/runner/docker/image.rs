//! Roots of the store as docker's images: imported once for each content, found again by label.
//!
//! They have no name: names are docker's one name space, over which builds would fight. Who removes an image of the store
//! removes docker's copy with it ([`prune`]).

use std::{io, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::time::timeout;

use super::cli::Cli;
use crate::{
    event::{Event, Sink},
    exit::Failure,
    image::{Image, archive},
    process::{Command, Spawner, Stdio},
};

/// The label of an image: the store's key, and when that was made (a refreshed image keeps its key).
const LABEL: &str = "kiln.image";
/// Some GiB on a slow disk.
const IMPORT: Duration = Duration::from_secs(600);

/// What tells an image's content from any other.
fn content(image: &Image) -> String {
    format!("{}-{}", image.key, image.record.made)
}

/// The id of docker's copy, if there is one.
pub(super) async fn find(cli: &Cli<'_>, image: &Image) -> Result<Option<String>> {
    let label = format!("label={LABEL}={}", content(image));
    let found = cli.ask(&["image", "ls", "--all", "--quiet", "--no-trunc", "--filter", &label]).await?;
    Ok(found.lines().next().map(str::to_owned))
}

/// The id of docker's copy, made where there is none. Only one process makes it; others wait for it.
pub(super) async fn ensure(cli: &Cli<'_>, image: &Image, sink: &mut dyn Sink) -> Result<String> {
    if let Some(id) = find(cli, image).await? {
        return Ok(id);
    }
    let _lock = image.lock().await?;
    if let Some(id) = find(cli, image).await? {
        return Ok(id);
    }
    sink.emit(Event::Note { text: "import the image into docker, once".into() });
    let id = import(cli, image).await?;
    // What it was before it was made anew.
    remove(cli, |old| key_of(old) == image.key.as_str() && old != content(image)).await?;
    Ok(id)
}

/// Removes the copies of images that the store had; says how many they were.
///
/// # Errors
/// When no daemon answers. One that a container uses stays.
pub async fn prune(spawner: &Spawner, docker: PathBuf, removed: &[Image]) -> Result<usize> {
    let cli = Cli { spawner, docker };
    remove(&cli, |old| removed.iter().any(|image| key_of(old) == image.key.as_str())).await
}

fn key_of(content: &str) -> &str {
    content.split('-').next().unwrap_or_default()
}

async fn import(cli: &Cli<'_>, image: &Image) -> Result<String> {
    let (read, write) = io::pipe().context("make a pipe")?;
    let label = format!("LABEL {LABEL}={:?}", content(image));
    let command = Command::new(&cli.docker)
        .args(["import", "--change", &label])
        .arg("-")
        .stdin(Stdio::File(read.into()));
    let path = image.path.clone();
    let writer = tokio::task::spawn_blocking(move || {
        archive::write(&path, io::BufWriter::with_capacity(1 << 20, write))
    });
    let output = cli.spawner.output(command, IMPORT).await?;
    // docker's own words first: a writer whose reader has gone has nothing to say.
    ensure!(
        output.status.success(),
        Failure::host(
            format!("docker import: {}", String::from_utf8_lossy(&output.stderr).trim()),
            "its disk may be full: docker system df"
        )
    );
    timeout(IMPORT, writer)
        .await
        .context("the writer of the archive hangs")??
        .context("write the image to docker")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Removes those whose label is `unwanted`; one that a container uses stays.
async fn remove(cli: &Cli<'_>, unwanted: impl Fn(&str) -> bool) -> Result<usize> {
    let filter = format!("label={LABEL}");
    let ids = cli.ask(&["image", "ls", "--all", "--quiet", "--no-trunc", "--filter", &filter]).await?;
    let mut removed = 0;
    for id in ids.lines() {
        let format = format!("{{{{index .Config.Labels {LABEL:?}}}}}");
        // Somebody else may have removed it since.
        let Ok(label) = cli.ask(&["image", "inspect", "--format", &format, id]).await else { continue };
        if !unwanted(label.trim()) {
            continue;
        }
        match cli.ask(&["image", "rm", id]).await {
            Ok(_) => removed += 1,
            Err(error) => tracing::debug!(id, error = %format!("{error:#}"), "the image stays"),
        }
    }
    Ok(removed)
}
