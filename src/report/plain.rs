//! Lines without colours: for logs, pipes and terminals that cannot move their cursor.

use std::{io::Write, time::Duration};

use super::{
    build_state::{BuildState, Message},
    display::{Display, Out},
    format,
    sanitize::{Colour, sanitize},
    summary::{LastLines, Line, Summary},
};
use crate::event::{Event, Status};

/// How much is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Volume {
    All,
    /// The result; after a failure the whole summary.
    Result,
}

/// The plain display.
pub(super) struct Plain {
    out: Out,
    volume: Volume,
    state: BuildState,
}

impl Plain {
    pub(super) fn new(out: Box<dyn Write + Send>, volume: Volume) -> Self {
        Self { out: Out(Some(out)), volume, state: BuildState::default() }
    }

    fn lines(&self, message: Message) -> Vec<String> {
        let line = match message {
            Message::Summary(summary) => return self.summary(&summary),
            _ if self.volume == Volume::Result => return Vec::new(),
            Message::Line(text) | Message::Fetch(text) => plain(&text),
            Message::Started(label) => format!("[{}] started", plain(&label)),
            Message::Output(label, text) => format!("[{}] {}", plain(&label), plain(&text)),
            Message::Ended(label, Status::Code(0), time) => {
                format!("[{}] done in {}", plain(&label), format::duration(time))
            }
            Message::Ended(label, status, time) => {
                format!("[{}] {} after {}", plain(&label), format::status(status), format::duration(time))
            }
        };
        vec![line]
    }

    fn summary(&self, summary: &Summary) -> Vec<String> {
        let lines = match summary.result() {
            good @ Line::Good(_) if self.volume == Volume::Result => vec![good],
            _ => summary.lines(LastLines::Quoted),
        };
        let text = |line| match line {
            Line::Good(text) | Line::Bad(text) | Line::Plain(text) => plain(&text),
            Line::Quoted(text) => format!("  | {}", plain(&text)),
        };
        lines.into_iter().map(text).collect()
    }
}

fn plain(text: &str) -> String {
    sanitize(text, Colour::Drop)
}

impl Display for Plain {
    fn show(&mut self, event: Event, now: Duration) {
        let messages = self.state.take(&event, now);
        let lines = messages.into_iter().flat_map(|message| self.lines(message));
        let text: String = lines.map(|line| line + "\n").collect();
        if !text.is_empty() {
            self.out.write(&text);
        }
    }
}
