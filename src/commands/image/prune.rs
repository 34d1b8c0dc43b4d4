//! `kiln image prune`.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use anyhow::Result;

use crate::{
    backend::{
        docker,
        qemu::template::{Listed, Templates},
    },
    commands::progress::LiveReporter,
    env::Env,
    exit::Code,
    host,
    image::{Image, PackageUsage, Store},
    process::Spawner,
    report::{self, Progress},
};

/// Removes the images and templates that were not used for this long, and the copies of images in docker.
pub(super) async fn run(
    store: &Store,
    templates: &Templates,
    env: &Env,
    unused_for: Option<Duration>,
) -> Result<Code> {
    let age = unused_for.unwrap_or_default();
    let spawner = Spawner::start()?;
    let now = SystemTime::now();
    let old = |image: &Image| {
        let used = fs::metadata(&image.path)
            .and_then(|metadata| metadata.accessed().or_else(|_| metadata.modified()));
        used.ok().and_then(|used| now.duration_since(used).ok()).is_some_and(|unused| unused >= age)
    };
    let removed = store.prune(old, &mut LiveReporter::new(Progress::Plain))?;
    let in_docker = prune_docker(env, &spawner, &removed).await?;
    spawner.finish()?;
    let mut text = String::new();
    for Listed { key, description, bytes, .. } in templates.prune(age)? {
        text += &format!("removed {}  {:>8} MiB  template: {description}\n", &key[..12], bytes >> 20);
    }
    match store.prune_packages(age)? {
        None => text += "the packages of apk's repositories stay: a build uses them\n",
        Some(usage) if usage == PackageUsage::default() => {}
        Some(PackageUsage { packages, bytes }) => {
            text += &format!("removed {packages} packages of apk's repositories, {} MiB\n", bytes >> 20);
        }
    }
    if removed.is_empty() && text.is_empty() {
        return report::print("there are no images to remove\n");
    }
    for image in &removed {
        text += &format!(
            "removed {}  {:>8} MiB  {}\n",
            &image.key.as_str()[..12],
            image.bytes >> 20,
            image.record.recipe
        );
    }
    if in_docker > 0 {
        text += &format!("removed {in_docker} copies from docker\n");
    }
    report::print(&text)
}

/// Removes docker's copies of removed images; returns their number. Without a daemon there are none to remove.
async fn prune_docker(env: &Env, spawner: &Spawner, removed: &[Image]) -> Result<usize> {
    if removed.is_empty() || host::find_program(env, "docker").is_none() {
        return Ok(0);
    }
    match docker::probe::find(env, spawner).await {
        Ok(found) => docker::prune(found.endpoint, removed).await,
        Err(error) => {
            tracing::debug!(error = %format!("{error:#}"), "docker is not asked for copies");
            Ok(0)
        }
    }
}
