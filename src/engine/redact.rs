//! Secrets in what steps write, on its way to events and consoles: each is replaced by [`SHOWN`], across the pieces in
//! which output arrives, as it is and as tools encode it, whatever lines it is wrapped to and whatever a terminal would not show
//! between its letters.
//!
//! What could be the beginning of a secret is held back until more comes, nothing comes for a while, or the step ends.

mod encodings;
mod letters;
mod look;
mod matcher;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use kiln_protocol::Stream;
use tokio::time::Instant;

use self::{
    letters::{READINGS, Reading, all_letters},
    look::{Carry, Look},
    matcher::Matcher,
};

/// What is shown in a secret's place.
const SHOWN: &[u8] = b"***";
/// A shorter piece of text says nothing: redacting it would make output unreadable, and point at it.
pub const SHORTEST: usize = 4;
/// So long what may be a secret's beginning waits for the rest: longer than tools and people pause between two letters, and not
/// so long that a prompt which ends like that seems not to come.
const FLUSH_DELAY: Duration = Duration::from_secs(2);
/// The most bytes that are held back: a string for the terminal, and what is usual between letters, many times.
const MOST_HELD: usize = 16 << 10;

/// What must not be shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Redactor {
    matcher: Arc<Matcher>,
    streams: HashMap<(u32, Stream), Held>,
}

/// What is known of a stream's end.
#[derive(Clone, Debug, Default)]
struct Held {
    /// With which a secret may begin, and what shows nothing.
    text: Vec<u8>,
    /// So much of it was shown nevertheless, or redacted.
    done: usize,
    /// By reading.
    carries: [Carry; READINGS.len()],
    last: Last,
    /// When it is shown unless more comes; none: there is nothing, or it must not be.
    due: Option<Instant>,
}

/// What was shown last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Text,
    Redacted,
}

/// What comes after the bytes at hand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Perhaps more.
    More,
    /// Perhaps more, but not at once.
    Flush,
    Nothing,
}

impl Redactor {
    /// A redactor of secrets, and of other texts that are none of a step's business to show.
    pub(super) fn new<'s>(secrets: impl Iterator<Item = &'s [u8]>) -> Self {
        Self { matcher: Arc::new(Matcher::new(encodings::all(secrets))), streams: HashMap::new() }
    }

    /// What of the output up to these bytes can be shown now.
    pub(super) fn push(&mut self, step: u32, stream: Stream, bytes: &[u8]) -> Vec<u8> {
        if self.matcher.is_empty() {
            return bytes.to_vec();
        }
        let held = self.streams.entry((step, stream)).or_default();
        held.advance(&self.matcher, bytes, Next::More)
    }

    /// When the next of what waits shall be shown, unless more comes.
    pub(super) fn due(&self) -> Option<Instant> {
        self.streams.values().filter_map(|held| held.due).min()
    }

    /// What of it is due.
    pub(super) fn flush(&mut self, now: Instant) -> Vec<((u32, Stream), Vec<u8>)> {
        let waiting = self.streams.iter_mut().filter(|(_, held)| held.due.is_some_and(|due| due <= now));
        waiting.map(|(of, held)| (*of, held.advance(&self.matcher, &[], Next::Flush))).collect()
    }

    /// What was held back: nothing more comes.
    pub(super) fn finish(&mut self) -> Vec<((u32, Stream), Vec<u8>)> {
        let mut streams: Vec<_> = self.streams.drain().collect();
        // So that the same output is the same events.
        streams.sort_by_key(|((step, stream), _)| (*step, *stream == Stream::Stderr));
        let end = |(of, mut held): (_, Held)| (of, held.advance(&self.matcher, &[], Next::Nothing));
        streams.into_iter().map(end).filter(|(_, shown)| !shown.is_empty()).collect()
    }

    /// A whole text as it can be shown.
    pub(super) fn whole(&self, text: &str) -> String {
        if self.matcher.is_empty() {
            return text.to_owned();
        }
        let shown = Held::default().advance(&self.matcher, text.as_bytes(), Next::Nothing);
        String::from_utf8_lossy(&shown).into_owned()
    }
}

impl Held {
    /// Takes what comes, and gives what can be shown.
    fn advance(&mut self, matcher: &Matcher, bytes: &[u8], next: Next) -> Vec<u8> {
        let Self { mut text, done, carries, last, due: _ } = std::mem::take(self);
        text.extend(bytes);
        let of_use = READINGS.into_iter().enumerate().filter(|(_, reading)| reading.is_of_use(&text));
        let looks: Vec<(usize, Look)> =
            of_use.map(|(at, reading)| (at, Look::at(&text, reading, matcher, carries[at], next))).collect();
        // What one reading holds back is held back, and what was let go is not shown again.
        let limit = looks.iter().map(|(_, look)| look.limit).min().unwrap_or(text.len()).max(done);
        let kept = looks.iter().map(|(_, look)| look.kept).min().unwrap_or(text.len());
        let held = looks.iter().filter(|(_, look)| look.limit < text.len());
        let may_go = limit < text.len() && held.into_iter().all(|(_, look)| look.may_go);
        let (shown, last) = show(&text, done..limit, &looks, last);
        // A reading that is of no use sees what the first one does.
        let mut carries =
            [looks.first().map_or(Carry::default(), |(_, look)| look.carry(kept)); READINGS.len()];
        for (at, look) in &looks {
            carries[*at] = look.carry(kept);
        }
        let due = (may_go && next == Next::More).then(|| Instant::now() + FLUSH_DELAY);
        let mut text = text.split_off(kept);
        let mut done = limit.saturating_sub(kept);
        if text.len() > MOST_HELD {
            // What shows nothing is not worth the memory: a secret may yet come letter by letter.
            done = all_letters(&text[..done], Reading::Shown).len();
            text = all_letters(&text, Reading::Shown);
        }
        *self = Self { text, done, carries, last, due };
        shown
    }
}

/// What a byte of a text is to a reader.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Letter,
    Secret,
}

/// A part of the text as it is shown. What shows nothing stays where it is, between the letters of a secret as well: a colour
/// that ends there would go on.
fn show(
    text: &[u8],
    part: std::ops::Range<usize>,
    looks: &[(usize, Look)],
    mut last: Last,
) -> (Vec<u8>, Last) {
    if looks.iter().all(|(_, look)| !look.has_secret()) {
        let last = if part.is_empty() { last } else { Last::Text };
        return (text[part].to_vec(), last);
    }
    let mut seen = vec![Seen::Nothing; text.len()];
    // The second is that without sequences, if there are any.
    let shown = looks.iter().rfind(|(at, _)| *at <= 1);
    for (place, _) in shown.iter().flat_map(|(_, look)| look.letters.all_places()) {
        seen[place] = Seen::Letter;
    }
    for place in looks.iter().flat_map(|(_, look)| look.secret_places()) {
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

/// Whether a byte is a part of a line break.
fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}
