//! Warnings and notes for the user, kept until a sink is at hand: much of the cache's work is done in threads.

use std::{
    mem,
    sync::{Mutex, PoisonError},
};

use crate::event::{Event, Sink, WarningKind};

/// Events that no sink has got yet.
#[derive(Debug, Default)]
pub(in crate::cache) struct Remarks(Mutex<Vec<Event>>);

impl Remarks {
    /// Keeps an event.
    pub(in crate::cache) fn add(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// Hands all of them to the sink.
    pub(in crate::cache) fn emit(&self, sink: &mut dyn Sink) {
        self.take().into_iter().for_each(|event| sink.emit(event));
    }

    fn take(&self) -> Vec<Event> {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `kiln cache` has no sink: the log gets the events.
impl Drop for Remarks {
    fn drop(&mut self) {
        self.take().into_iter().for_each(log);
    }
}

/// A warning of the cache.
pub(in crate::cache) fn warning(kind: WarningKind, text: impl Into<String>) -> Event {
    Event::Warning { kind, text: text.into() }
}

/// Logs an event for which there is no sink.
pub(in crate::cache) fn log(event: Event) {
    match event {
        Event::Warning { kind: _, text } => tracing::warn!("{text}"),
        Event::Note { text } => tracing::info!("{text}"),
        other => tracing::debug!(?other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_gets_each_remark_once() {
        let remarks = Remarks::default();
        let first = warning(WarningKind::SummaryStale, "one");
        let second = Event::Note { text: "two".into() };
        for event in [&first, &second] {
            remarks.add(event.clone());
        }
        let mut events = Vec::new();
        remarks.emit(&mut |event| events.push(event));
        assert_eq!(events, [first, second]);
        remarks.emit(&mut |event| panic!("{event:?}"));
    }
}
