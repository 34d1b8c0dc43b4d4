//! Roots of the store as docker's images: imported once for each content, found again by label.
//!
//! They have no name: names are docker's one name space, over which builds would fight. Who removes an image of the store
//! removes docker's copy with it ([`prune`]).

use std::{io, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::time::timeout;

use super::{
    Cli,
    api::{Api, ObjectKind, Removal},
};
use crate::{
    event::{Event, Sink},
    exit::Failure,
    image::{Image, archive},
    process::{Command, Stdio},
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
pub(super) async fn find(api: &Api, image: &Image) -> Result<Option<String>> {
    let found = api.labelled(ObjectKind::Image, &format!("{LABEL}={}", content(image))).await?;
    Ok(found.into_iter().next().map(|found| found.id))
}

/// The id of docker's copy, made where there is none. Only one process makes it; others wait for it.
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
    // What it was before it was made anew.
    remove(&cli.api, |old| key_of(old) == image.key.as_str() && old != content(image)).await?;
    Ok(id)
}

/// Removes the copies of images that the store had; says how many they were.
///
/// # Errors
/// When no daemon answers. One that a container uses stays.
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
