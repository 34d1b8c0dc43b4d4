//! One object a line: the event and `time_ms`, the time since the start.

use std::io::Write;

use serde::Serialize;

use super::{Clock, Display, Out};
use crate::event::{Event, Sink};

/// An event with its time.
#[derive(Serialize)]
struct Timed<'a> {
    #[serde(flatten)]
    event: &'a Event,
    time_ms: f64,
}

/// The line of an event, with its end.
pub(super) fn line(event: &Event, since_start: std::time::Duration) -> String {
    let time_ms = (since_start.as_secs_f64() * 1e6).round() / 1e3;
    let timed = Timed { event, time_ms };
    serde_json::to_string(&timed).expect("events have string keys, and paths that are made UTF-8") + "\n"
}

/// The JSON display.
pub(super) struct Json {
    out: Out,
    clock: Clock,
}

impl Json {
    pub(super) fn new(out: Box<dyn Write + Send>, clock: Clock) -> Self {
        Self { out: Out(Some(out)), clock }
    }
}

impl Sink for Json {
    fn emit(&mut self, event: Event) {
        self.out.write(&line(&event, (self.clock)()));
    }
}

impl Display for Json {}
