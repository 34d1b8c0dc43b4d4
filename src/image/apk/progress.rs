//! What downloads tell while they are under way, from their threads.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::event::WarningKind;

/// How often the bytes of one file are told.
const PERIOD: Duration = Duration::from_millis(500);

/// Something that a download tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// A line for people.
    Note(String),
    /// Something is not as it should be.
    Warning(WarningKind, String),
}

/// The sending end.
#[derive(Debug)]
pub(super) struct Progress {
    sender: tokio::sync::mpsc::UnboundedSender<Told>,
    last: Mutex<Instant>,
}

impl Progress {
    pub(super) fn new(sender: tokio::sync::mpsc::UnboundedSender<Told>) -> Self {
        Self { sender, last: Mutex::new(Instant::now()) }
    }

    /// A line for people.
    pub(super) fn note(&self, text: String) {
        // best effort: without a receiver the command has ended.
        let _ = self.sender.send(Told::Note(text));
    }

    /// Something is not as it should be.
    pub(super) fn warn(&self, kind: WarningKind, text: String) {
        // best effort: as above.
        let _ = self.sender.send(Told::Warning(kind, text));
    }

    /// How many bytes of a file are here: from time to time.
    pub(super) fn bytes(&self, name: &str, bytes: u64) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= PERIOD {
            *last = Instant::now();
            self.note(format!("{name}: {}", size(bytes)));
        }
    }
}

/// A number of bytes for people.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=9_999_999 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}
