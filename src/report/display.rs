//! One way to show events, and the writer that it prints to.

use std::{io::Write, time::Duration};

use crate::event::Event;

/// One way to show events. `now` is the time since the start.
pub(super) trait Display {
    /// An event happened at this time.
    fn show(&mut self, event: Event, now: Duration);
    /// Time has passed.
    fn tick(&mut self, _now: Duration) {}
    /// No more events come, though there was no [`Event::Finished`].
    fn end(&mut self, _now: Duration) {}
}

/// A writer whose reader may go away.
pub(super) struct Out(pub(super) Option<Box<dyn Write + Send>>);

impl Out {
    pub(super) fn write(&mut self, text: &str) {
        let Some(writer) = &mut self.0 else { return };
        if let Err(error) = writer.write_all(text.as_bytes()).and_then(|()| writer.flush()) {
            // The build goes on, and its logs have everything.
            tracing::debug!(%error, "the report has no reader");
            self.0 = None;
        }
    }
}
