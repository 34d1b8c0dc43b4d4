//! `kiln image`: what the store holds, one more, some less.

use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::progress::LiveReporter;
use crate::{
    backend::docker,
    build::check_packages,
    cli::ImageCommand,
    env::Env,
    event::{Event, Sink},
    exit::Code,
    home::Home,
    host,
    image::{Image, Store, locate},
    plan::{ImageRecipe, ImageReference},
    process::Spawner,
    report::{self, Progress},
};

/// Does one of them.
pub(super) async fn run(command: ImageCommand, env: &Env) -> Result<Code> {
    let store = Store::open(&Home::find(env)?, env)?;
    match command {
        ImageCommand::Ls { json } => list(&store, json),
        ImageCommand::Build { image, refresh, progress } => build(&store, image, refresh, progress).await,
        ImageCommand::Prune { unused_for } => prune(&store, env, unused_for).await,
    }
}

fn list(store: &Store, json: bool) -> Result<Code> {
    let images = store.list()?;
    if json {
        let rows: Vec<_> = images.iter().map(row).collect();
        return report::print(&format!("{}\n", serde_json::to_string_pretty(&rows)?));
    }
    let mut text = String::new();
    for image in &images {
        text += &format!(
            "{}  {:>8} MiB  {}\n",
            &image.key.as_str()[..12],
            image.bytes >> 20,
            image.record.recipe
        );
    }
    report::print(&text)
}

fn row(image: &Image) -> serde_json::Value {
    serde_json::json!({
        "key": image.key.as_str(),
        "image": image.record.recipe.to_string(),
        "bytes": image.bytes,
        "path": image.path,
        "made": image.record.made,
        "packages": image.record.packages,
    })
}

async fn build(store: &Store, image: ImageReference, refresh: bool, progress: Progress) -> Result<Code> {
    let recipe = ImageRecipe::new(locate(image)?, "amd64")?;
    let spawner = Spawner::start()?;
    let mut live = LiveReporter::new(progress);
    let mut sink = live.clone();
    let making = super::signals::abortable(async {
        check_packages(store, &recipe, &[], &spawner, &mut sink).await?;
        if refresh {
            store.refresh(&recipe, &spawner, &mut sink).await
        } else {
            store.ensure(&recipe, &spawner, &mut sink).await
        }
    });
    let made = live.during(making).await;
    live.end();
    if let Ok(image) = &made {
        live.emit(Event::Note {
            text: format!("{recipe} is {} ({} MiB)", image.path.display(), image.bytes >> 20),
        });
    }
    spawner.finish()?;
    made.map(|_| Code::Success)
}

async fn prune(store: &Store, env: &Env, unused_for: Option<Duration>) -> Result<Code> {
    let age = unused_for.unwrap_or_default();
    let spawner = Spawner::start()?;
    let now = SystemTime::now();
    let old = |image: &Image| {
        let used = std::fs::metadata(&image.path)
            .and_then(|metadata| metadata.accessed().or_else(|_| metadata.modified()));
        used.ok().and_then(|used| now.duration_since(used).ok()).is_some_and(|unused| unused >= age)
    };
    let removed = store.prune(old, &mut LiveReporter::new(Progress::Plain))?;
    let in_docker = prune_docker(env, &spawner, &removed).await?;
    spawner.finish()?;
    let mut text = String::new();
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

/// docker's copies of what was removed; where no daemon answers there are none that could be.
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
