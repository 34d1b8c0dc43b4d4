//! The display while a guest for a shell or a command starts: on a terminal a live display, which is erased before the guest has
//! the terminal; elsewhere lines about long waits only.

use std::io::{IsTerminal, stderr, stdout};

use anyhow::Result;

use super::progress::LiveReporter;
use crate::{
    event::{Event, ImageState, Sink},
    report::Progress,
};

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Volume {
    /// Progress and errors.
    Usual,
    /// Errors (`-q`).
    Quiet,
}

/// A sink for the events of a guest that starts.
pub(super) struct Waiting {
    live: LiveReporter,
    image_is_made: bool,
    /// The line for the moment when the guest is ready.
    greeting: Option<String>,
}

impl Waiting {
    /// Shows nothing yet.
    pub(super) fn new(volume: Volume) -> Self {
        // In a pipe the terminal may be the reader's (`kiln run -- cat log | less`).
        let progress = match volume {
            Volume::Quiet => Progress::Quiet,
            Volume::Usual if stdout().is_terminal() && stderr().is_terminal() => Progress::Wait,
            Volume::Usual => Progress::Plain,
        };
        Self { live: LiveReporter::new(progress), image_is_made: false, greeting: None }
    }

    /// The reporter that draws while the guest starts; as a sink it shows every event.
    pub(super) fn live(&self) -> LiveReporter {
        self.live.clone()
    }

    /// A line for a person who gets the guest's terminal.
    pub(super) fn greet(&mut self, text: String) {
        self.greeting = Some(text);
    }

    /// The guest is ready: its output comes next, so the display is erased.
    fn make_room(&mut self) {
        self.live.end();
        if let Some(text) = self.greeting.take() {
            self.live.emit(Event::Note { text });
        }
    }
}

impl Sink for Waiting {
    fn emit(&mut self, event: Event) {
        match &event {
            Event::Image { state: ImageState::Making | ImageState::Waiting, .. } => self.image_is_made = true,
            Event::Note { .. } | Event::FetchPlan { .. } | Event::Fetch(_) if self.image_is_made => {}
            Event::Note { text } => return tracing::info!("{text}"),
            Event::Image { .. } => self.image_is_made = false,
            Event::Warning { .. } => {}
            Event::Boot { .. } => return self.make_room(),
            _ => return,
        }
        self.live.emit(event);
    }
}

/// Erases the display, however the work ends.
pub(super) async fn during<T>(live: &LiveReporter, work: impl Future<Output = Result<T>>) -> Result<T> {
    let result = live.during(work).await;
    live.end();
    result
}
