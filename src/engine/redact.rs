//! Redacts secrets in the output of steps before it reaches events and consoles. Each secret is replaced by [`SHOWN`]: as it is and
//! as tools encode it, across pieces of output and line breaks, and with invisible characters between its letters.
//!
//! A possible beginning of a secret is held back until more comes, nothing comes for a while, or the step ends.

mod encodings;
mod letters;
mod matcher;
mod scan;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use kiln_protocol::Stream;
use tokio::time::Instant;

pub use self::encodings::SHORTEST;
use self::{
    letters::{READINGS, Reading, all_letters, is_break},
    matcher::Matcher,
    scan::{Carry, Next, Scan},
};

/// The text in a secret's place.
const SHOWN: &[u8] = b"***";
/// How long a possible beginning of a secret waits for the rest: longer than the pause of tools and people between two letters, and
/// short enough for a prompt that ends like a secret begins.
const FLUSH_DELAY: Duration = Duration::from_secs(2);
/// The most bytes that are held back: a string for the terminal, and many times the usual bytes between letters.
const MOST_HELD: usize = 16 << 10;

/// Replaces secrets in streams of output.
#[derive(Clone, Debug, Default)]
pub(super) struct Redactor {
    matcher: Arc<Matcher>,
    streams: HashMap<(u32, Stream), Held>,
}

/// The end of a stream.
#[derive(Clone, Debug, Default)]
struct Held {
    /// A possible beginning of a secret, and invisible bytes.
    text: Vec<u8>,
    /// The number of its bytes that were shown or redacted nevertheless.
    done: usize,
    /// For each reading.
    carries: [Carry; READINGS.len()],
    last: Last,
    /// When it is shown unless more comes; `None` if there is nothing, or if it must not be shown.
    due: Option<Instant>,
}

/// The kind of the last byte that was shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Text,
    Redacted,
}

impl Redactor {
    /// A redactor of these texts.
    pub(super) fn new<'s>(secrets: impl Iterator<Item = &'s [u8]>) -> Self {
        Self { matcher: Arc::new(Matcher::new(encodings::all(secrets))), streams: HashMap::new() }
    }

    /// Takes output; gives the part that can be shown now.
    pub(super) fn push(&mut self, step: u32, stream: Stream, bytes: &[u8]) -> Vec<u8> {
        if self.matcher.is_empty() {
            return bytes.to_vec();
        }
        let held = self.streams.entry((step, stream)).or_default();
        held.advance(&self.matcher, bytes, Next::More)
    }

    /// When the next held-back output is due, unless more comes.
    pub(super) fn due(&self) -> Option<Instant> {
        self.streams.values().filter_map(|held| held.due).min()
    }

    /// The held-back output that is due.
    pub(super) fn flush(&mut self, now: Instant) -> Vec<((u32, Stream), Vec<u8>)> {
        let waiting = self.streams.iter_mut().filter(|(_, held)| held.due.is_some_and(|due| due <= now));
        waiting.map(|(of, held)| (*of, held.advance(&self.matcher, &[], Next::Flush))).collect()
    }

    /// The end of all streams: gives all held-back output.
    pub(super) fn finish(&mut self) -> Vec<((u32, Stream), Vec<u8>)> {
        let mut streams: Vec<_> = self.streams.drain().collect();
        // The same output makes the same events.
        streams.sort_by_key(|((step, stream), _)| (*step, *stream == Stream::Stderr));
        let end = |(of, mut held): (_, Held)| (of, held.advance(&self.matcher, &[], Next::Nothing));
        streams.into_iter().map(end).filter(|(_, shown)| !shown.is_empty()).collect()
    }

    /// A whole text, redacted.
    pub(super) fn whole(&self, text: &str) -> String {
        if self.matcher.is_empty() {
            return text.to_owned();
        }
        let shown = Held::default().advance(&self.matcher, text.as_bytes(), Next::Nothing);
        String::from_utf8_lossy(&shown).into_owned()
    }
}

impl Held {
    /// Takes bytes; gives the bytes that can be shown.
    fn advance(&mut self, matcher: &Matcher, bytes: &[u8], next: Next) -> Vec<u8> {
        let Self { mut text, done, carries, last, due: _ } = std::mem::take(self);
        text.extend(bytes);
        let of_use = READINGS.into_iter().enumerate().filter(|(_, reading)| reading.is_of_use(&text));
        let scans: Vec<(usize, Scan)> =
            of_use.map(|(at, reading)| (at, Scan::at(&text, reading, matcher, carries[at], next))).collect();
        // Bytes that one reading holds back are held back; bytes that were shown are not shown again.
        let limit = scans.iter().map(|(_, scan)| scan.limit).min().unwrap_or(text.len()).max(done);
        let kept = scans.iter().map(|(_, scan)| scan.kept).min().unwrap_or(text.len());
        let held = scans.iter().filter(|(_, scan)| scan.limit < text.len());
        let may_go = limit < text.len() && held.into_iter().all(|(_, scan)| scan.may_go);
        let (shown, last) = show(&text, done..limit, &scans, last);
        // A reading that is of no use sees the same as the first one.
        let mut carries =
            [scans.first().map_or(Carry::default(), |(_, scan)| scan.carry(kept)); READINGS.len()];
        for (at, scan) in &scans {
            carries[*at] = scan.carry(kept);
        }
        let due = (may_go && next == Next::More).then(|| Instant::now() + FLUSH_DELAY);
        let mut text = text.split_off(kept);
        let mut done = limit.saturating_sub(kept);
        if text.len() > MOST_HELD {
            // Invisible bytes are dropped to bound the memory: a secret may still come letter by letter.
            done = all_letters(&text[..done], Reading::Shown).len();
            text = all_letters(&text, Reading::Shown);
        }
        *self = Self { text, done, carries, last, due };
        shown
    }
}

/// A byte of a text, for a reader.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Letter,
    Secret,
}

/// A part of the text, redacted. Invisible bytes stay where they are, between the letters of a secret as well: the end of a colour
/// must not get lost.
fn show(
    text: &[u8],
    part: std::ops::Range<usize>,
    scans: &[(usize, Scan)],
    mut last: Last,
) -> (Vec<u8>, Last) {
    if scans.iter().all(|(_, scan)| !scan.has_secret()) {
        let last = if part.is_empty() { last } else { Last::Text };
        return (text[part].to_vec(), last);
    }
    let mut seen = vec![Seen::Nothing; text.len()];
    // The second reading is without sequences, if there are any.
    let shown = scans.iter().rfind(|(at, _)| *at <= 1);
    for (place, _) in shown.iter().flat_map(|(_, scan)| scan.letters.all_places()) {
        seen[place] = Seen::Letter;
    }
    for place in scans.iter().flat_map(|(_, scan)| scan.secret_places()) {
        seen[place] = Seen::Secret;
    }
    let mut shown = Vec::with_capacity(part.len());
    for place in part {
        match (seen[place], last) {
            (Seen::Secret, Last::Redacted) => {}
            (Seen::Secret, Last::Text) => shown.extend(SHOWN),
            (Seen::Letter | Seen::Nothing, _) => shown.push(text[place]),
        }
        last = match seen[place] {
            Seen::Secret => Last::Redacted,
            Seen::Nothing if !is_break(text[place]) => last,
            Seen::Letter | Seen::Nothing => Last::Text,
        };
    }
    (shown, last)
}
