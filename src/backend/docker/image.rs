//! Roots of the store as docker's images: imported once for each content, and found by label.
//!
//! They have no name, since builds would overwrite each other's in docker's only name space. [`prune`] removes docker's copies of
//! images that are removed from the store.

use std::{io, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::time::timeout;

use super::{
    api::{Api, ObjectKind, Removal},
    cli::Cli,
};
use crate::{
    event::{Event, Sink},
    exit::Failure,
    image::{Image, archive},
    process::{Command, Stdio},
};

/// The label of an image: its key in the store, and the time at which it was made (a refreshed image keeps its key).
const LABEL: &str = "kiln.image";
/// The limit for an import of some GiB on a slow disk.
const IMPORT: Duration = Duration::from_secs(600);

/// The identity of an image's content.
fn content(image: &Image) -> String {
    format!("{}-{}", image.key, image.record.made)
}

/// The id of docker's copy, if it exists.
pub(super) async fn find(api: &Api, image: &Image) -> Result<Option<String>> {
    let found = api.labelled(ObjectKind::Image, &format!("{LABEL}={}", content(image))).await?;
    Ok(found.into_iter().next().map(|found| found.id))
}

/// The id of docker's copy, which is imported if it is missing. One process imports it, others wait.
pub(super) async fn ensure(cli: &Cli<'_>, image: &Image, sink: &mut dyn Sink) -> Result<String> {
    if let Some(id) = find(&cli.api, image).await? {
        return Ok(id);
    }
    let _lock = image.lock().await?;
    if let Some(id) = find(&cli.api, image).await? {
        return Ok(id);
    }
    sink.emit(Event::Note { text: "import the image into docker, once".into() });
    let id = import(cli, image).await?;
    // Copies of the image before it was refreshed.
    remove(&cli.api, |old| key_of(old) == image.key.as_str() && old != content(image)).await?;
    Ok(id)
}

/// Removes the copies of images that were removed from the store, except those that a container uses. Returns their number.
///
/// # Errors
/// When no daemon answers.
pub async fn prune(endpoint: String, removed: &[Image]) -> Result<usize> {
    let api = Api { endpoint };
    remove(&api, |old| removed.iter().any(|image| key_of(old) == image.key.as_str())).await
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
    // docker's error comes first: the writer's is then only a broken pipe.
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

/// Removes images with an `unwanted` label, except those that a container uses.
async fn remove(api: &Api, unwanted: impl Fn(&str) -> bool) -> Result<usize> {
    let mut removed = 0;
    for image in api.labelled(ObjectKind::Image, LABEL).await?.iter().filter(|image| unwanted(&image.label)) {
        match api.remove(ObjectKind::Image, &image.id).await? {
            Removal::Gone => removed += 1,
            Removal::InUse | Removal::InProgress => {
                tracing::debug!(id = image.id, "the image is used, and stays")
            }
        }
    }
    Ok(removed)
}
