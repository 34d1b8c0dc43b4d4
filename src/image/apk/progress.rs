//! What downloads tell while they are under way, from their threads.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::event::{Event, Fetch, FetchState, WarningKind};

/// How often the bytes of one file are told.
const PERIOD: Duration = Duration::from_millis(500);

/// The sending end.
#[derive(Debug)]
pub(super) struct Progress {
    sender: tokio::sync::mpsc::UnboundedSender<Event>,
    last: Mutex<Instant>,
}

impl Progress {
    pub(super) fn new(sender: tokio::sync::mpsc::UnboundedSender<Event>) -> Self {
        Self { sender, last: Mutex::new(Instant::now()) }
    }

    /// Something is not as it should be.
    pub(super) fn warn(&self, kind: WarningKind, text: String) {
        self.send(Event::Warning { kind, text });
    }

    /// So many files with so many bytes are to be fetched.
    pub(super) fn plan(&self, files: usize, bytes: u64) {
        self.send(Event::FetchPlan { files, bytes });
    }

    /// The transfer of a file begins; `size` is what its index says of it.
    pub(super) fn started(&self, name: &str, size: Option<u64>) {
        self.fetch(name, FetchState::Started, 0, size);
    }

    /// How many bytes of a file are here: from time to time.
    pub(super) fn bytes(&self, name: &str, bytes: u64, size: Option<u64>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= PERIOD {
            *last = Instant::now();
            self.fetch(name, FetchState::Running, bytes, size);
        }
    }

    /// A file is here.
    pub(super) fn done(&self, name: &str, bytes: u64) {
        self.fetch(name, FetchState::Done, bytes, Some(bytes));
    }

    fn fetch(&self, name: &str, state: FetchState, bytes: u64, size: Option<u64>) {
        self.send(Event::Fetch(Fetch { name: name.to_owned(), state, bytes, size }));
    }

    fn send(&self, event: Event) {
        // best effort: without a receiver the command has ended.
        let _ = self.sender.send(event);
    }
}
