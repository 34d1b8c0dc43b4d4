//! `kiln image build`.

use anyhow::Result;

use crate::{
    build::check_packages,
    commands::{progress::LiveReporter, signals},
    event::{Event, Sink},
    exit::Code,
    image::{Store, locate},
    plan::{ImageRecipe, ImageReference},
    process::Spawner,
    report::Progress,
};

/// Makes the image if the store does not have it, or anew if there are updates for it.
pub(super) async fn run(
    store: &Store,
    image: ImageReference,
    refresh: bool,
    progress: Progress,
) -> Result<Code> {
    let recipe = ImageRecipe::new(locate(image)?, "amd64")?;
    let spawner = Spawner::start()?;
    let mut live = LiveReporter::new(progress);
    let mut sink = live.clone();
    let making = signals::abortable(async {
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
