//! `kiln image import`.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use anyhow::{Context, Result};

use crate::{
    commands::{progress::LiveReporter, signals},
    event::{Event, Sink},
    exit::{Code, Failure},
    image::{Imported, Store},
    process::Spawner,
    report::Progress,
};

/// The name for stdin and stdout.
pub(super) const STANDARD: &str = "-";

/// Adds the image of an archive to the store.
pub(super) async fn run(store: &Store, file: &Path, progress: Progress) -> Result<Code> {
    let shown = if file == Path::new(STANDARD) { "stdin".into() } else { file.display().to_string() };
    let failed = || {
        Failure::host(
            format!("{shown} cannot be imported"),
            "Give a file that kiln image export has written; nothing of it is in the store.",
        )
    };
    let archive: Box<dyn Read + Send> = match file == Path::new(STANDARD) {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(file).with_context(failed)?),
    };
    let spawner = Spawner::start()?;
    let mut live = LiveReporter::new(progress);
    let mut sink = live.clone();
    let importing = signals::abortable(store.import(archive, &spawner, &mut sink));
    let imported = live.during(importing).await;
    live.end();
    match &imported {
        Ok(Imported::Added(image)) => live.emit(Event::Note {
            text: format!("{} is {} ({} MiB)", image.record.recipe, image.path.display(), image.bytes >> 20),
        }),
        Ok(Imported::Present(image)) => {
            live.emit(Event::Note { text: format!("the store has {} already", image.record.recipe) });
        }
        Err(_) => {}
    }
    spawner.finish()?;
    imported.with_context(failed).map(|_| Code::Success)
}
