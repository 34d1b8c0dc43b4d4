//! Bytes from the agent: a step's output as events, an archive as a reader.

use std::{
    collections::HashMap,
    io::{self, Read},
};

use anyhow::{Error, Result};
use kiln_protocol::Stream;
use tokio::{
    sync::mpsc::{Receiver, Sender},
    time::{Instant, sleep_until},
};

use super::{failure, redact::Redactor, tail::Tail};
use crate::{
    event::{self, Event, Sink, StepName, Utf8Splitter},
    plan::Plan,
};

/// Makes events of a step's output, redacted, with text that is never cut inside a character.
pub(super) struct Output {
    names: Vec<String>,
    redactor: Redactor,
    open: HashMap<(u32, Stream), Utf8Splitter>,
    /// The end of the last step's output.
    tail: Tail,
}

impl Output {
    /// Output of the steps up to this one.
    pub(super) fn new(plan: &Plan, last: u32, redactor: Redactor) -> Self {
        let begun = plan.steps.iter().filter(|planned| planned.step.index <= last);
        let names = begun.map(|planned| planned.name.clone()).collect();
        Self { names, redactor, open: HashMap::new(), tail: Tail::default() }
    }

    /// Emits output of `step`, which the agent names: it may be an earlier step that left a process running.
    pub(super) fn push(
        &mut self,
        sink: &mut dyn Sink,
        step: u32,
        stream: Stream,
        bytes: &[u8],
    ) -> Result<()> {
        let shown = self.redactor.push(step, stream, bytes);
        self.emit(sink, step, stream, &shown)
    }

    /// The part of a step's output that can be shown now, for a step whose output is not an event.
    pub(super) fn redacted(&mut self, step: u32, stream: Stream, bytes: &[u8]) -> Vec<u8> {
        self.redactor.push(step, stream, bytes)
    }

    /// Emits redacted output of a step.
    fn emit(&mut self, sink: &mut dyn Sink, step: u32, stream: Stream, shown: &[u8]) -> Result<()> {
        let name = self.name(step)?;
        if step as usize + 1 == self.names.len() {
            self.tail.push(stream, shown);
        }
        if let Some(data) = self.open.entry((step, stream)).or_default().push(shown) {
            sink.emit(Event::Output { step: name, stream: event_stream(stream), data });
        }
        Ok(())
    }

    /// Resolves when output has been held back for long enough; never, if none is held back. May be dropped.
    pub(super) async fn flush_due(&self) {
        match self.redactor.due() {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Then emits that output; that of step `but`, whose output is not an event, is returned.
    pub(super) fn flush(&mut self, sink: &mut dyn Sink, but: Option<u32>) -> Result<Vec<(Stream, Vec<u8>)>> {
        let held = self.redactor.flush(Instant::now());
        self.emit_but(sink, held, but)
    }

    /// The same for all output, at the end of that step.
    pub(super) fn rest(&mut self, sink: &mut dyn Sink, step: u32) -> Result<Vec<(Stream, Vec<u8>)>> {
        let held = self.redactor.finish();
        self.emit_but(sink, held, Some(step))
    }

    fn emit_but(
        &mut self,
        sink: &mut dyn Sink,
        held: Vec<((u32, Stream), Vec<u8>)>,
        but: Option<u32>,
    ) -> Result<Vec<(Stream, Vec<u8>)>> {
        let mut others = Vec::new();
        for ((step, stream), shown) in held {
            if but == Some(step) {
                others.push((stream, shown));
            } else {
                self.emit(sink, step, stream, &shown)?;
            }
        }
        Ok(others)
    }

    /// The last lines of the last step's output: those of its stderr after those of its stdout.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.tail.lines()
    }

    /// Emits all output that was held back.
    pub(super) fn finish(&mut self, sink: &mut dyn Sink) {
        for ((step, stream), shown) in self.redactor.finish() {
            // It cannot fail: output of an unknown step was not taken.
            if let Err(error) = self.emit(sink, step, stream, &shown) {
                tracing::debug!(%error, "the rest of a stream");
            }
        }
        let mut open: Vec<_> = self.open.drain().collect();
        open.sort_by_key(|((step, stream), _)| (*step, *stream == Stream::Stderr));
        for ((step, stream), mut splitter) in open {
            let Ok(name) = self.name(step) else { continue };
            if let Some(data) = splitter.finish() {
                sink.emit(Event::Output { step: name, stream: event_stream(stream), data });
            }
        }
    }

    fn name(&self, step: u32) -> Result<StepName> {
        let name = usize::try_from(step).ok().and_then(|index| self.names.get(index));
        let name = name.ok_or_else(|| {
            failure::broken(&format!("the agent sent output of a step {step} that does not run"))
        })?;
        Ok(StepName { index: step, name: name.clone() })
    }
}

fn event_stream(stream: Stream) -> event::Stream {
    match stream {
        Stream::Stdout => event::Stream::Stdout,
        Stream::Stderr => event::Stream::Stderr,
    }
}

/// The pieces of an archive as one reader; it ends when the sender is dropped.
pub(super) struct Pieces {
    receiver: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    read: usize,
}

impl Pieces {
    pub(super) fn new(receiver: Receiver<Vec<u8>>) -> Self {
        Self { receiver, piece: Vec::new(), read: 0 }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.piece.len() {
            match self.receiver.blocking_recv() {
                Some(piece) => (self.piece, self.read) = (piece, 0),
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len() - self.read);
        buffer[..count].copy_from_slice(&self.piece[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}

/// The reader of the archive has stopped reading; its own error says why.
#[derive(Debug)]
struct Refused;

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the artifacts were refused")
    }
}

impl std::error::Error for Refused {}

/// Whether an error only says that the reader refused the stream.
pub(super) fn is_refusal(error: &Error) -> bool {
    error.is::<Refused>()
}

/// Gives a piece to the reader; waits while its queue is full.
pub(super) async fn hand_over(sender: &Sender<Vec<u8>>, piece: Vec<u8>) -> Result<()> {
    sender.send(piece).await.map_err(|_| Refused.into())
}
