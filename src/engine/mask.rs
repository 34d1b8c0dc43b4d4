//! Secrets in what steps write, on its way to events and consoles: each is replaced by [`SHOWN`], across the pieces in
//! which output arrives, as it is and as tools encode it, whatever lines it is wrapped to.
//!
//! What could be the beginning of a secret is held back until more comes, nothing comes for a while, or the step ends.

mod forms;
mod index;

use std::{collections::HashMap, sync::Arc};

use kiln_protocol::Stream;

use self::index::Index;

/// What is shown in a secret's place.
const SHOWN: &[u8] = b"***";
/// A shorter piece of text says nothing: masking it would make output unreadable, and point at it.
pub const SHORTEST: usize = 4;
/// So much of a secret's beginning is not shown, when it is all that came.
const TOO_MUCH: usize = 8;
/// More line breaks than these are an empty line, which nothing is wrapped across.
const MOST_BREAKS: usize = 2;

/// What must not be shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Mask {
    index: Arc<Index>,
    streams: HashMap<(u32, Stream), Held>,
}

/// What is known of a stream's end.
#[derive(Clone, Debug, Default)]
struct Held {
    /// With which a secret may begin, and line breaks.
    text: Vec<u8>,
    /// So much of it was shown nevertheless, or masked.
    done: usize,
    /// So many of its letters belong to a secret that has come.
    masked: usize,
    /// The letter before the text belongs to one.
    follows: bool,
    last: Last,
    /// Whether it need not wait for more than a moment.
    may_go: bool,
}

/// What was shown last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Text,
    Mask,
}

/// What comes after the bytes at hand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Perhaps more.
    More,
    /// Perhaps more, but not at once.
    Pause,
    Nothing,
}

impl Mask {
    /// A mask of secrets, and of other texts that are none of a step's business to show.
    pub(super) fn new<'s>(secrets: impl Iterator<Item = &'s [u8]>) -> Self {
        Self { index: Arc::new(Index::new(forms::all(secrets))), streams: HashMap::new() }
    }

    /// What of the output up to these bytes can be shown now.
    pub(super) fn push(&mut self, step: u32, stream: Stream, bytes: &[u8]) -> Vec<u8> {
        if self.index.is_empty() {
            return bytes.to_vec();
        }
        let held = self.streams.entry((step, stream)).or_default();
        held.advance(&self.index, bytes, Next::More)
    }

    /// Whether something waits that shall be shown when nothing comes for a moment.
    pub(super) fn waits(&self) -> bool {
        self.streams.values().any(|held| held.may_go)
    }

    /// What of it can be shown: nothing has come.
    pub(super) fn pause(&mut self) -> Vec<((u32, Stream), Vec<u8>)> {
        let waiting = self.streams.iter_mut().filter(|(_, held)| held.may_go);
        waiting.map(|(of, held)| (*of, held.advance(&self.index, &[], Next::Pause))).collect()
    }

    /// What was held back: nothing more comes.
    pub(super) fn finish(&mut self) -> Vec<((u32, Stream), Vec<u8>)> {
        let mut streams: Vec<_> = self.streams.drain().collect();
        // So that the same output is the same events.
        streams.sort_by_key(|((step, stream), _)| (*step, *stream == Stream::Stderr));
        let end = |(of, mut held): (_, Held)| (of, held.advance(&self.index, &[], Next::Nothing));
        streams.into_iter().map(end).filter(|(_, shown)| !shown.is_empty()).collect()
    }
}

impl Held {
    /// Takes what comes, and gives what can be shown.
    fn advance(&mut self, index: &Index, bytes: &[u8], next: Next) -> Vec<u8> {
        let Self { mut text, done, masked, follows, last, may_go: _ } = std::mem::take(self);
        text.extend(bytes);
        let letters = Letters::of(&text);
        let mut masked = letters.masked(index, masked);
        let end = letters.bytes.len();
        let follows_at =
            |at: usize, masked: &[bool]| at.checked_sub(1).map_or(follows, |before| masked[before]);
        let begun = index.begun(&letters.bytes);
        let start = begun.as_ref().map_or(end, |begun| begun.start);
        // What is masked already need not wait.
        let certain = (start..end).find(|&at| !masked[at]).unwrap_or(end);
        let mut limit = certain;
        let mut may_go = false;
        if let Some(begun) = begun.filter(|_| limit < end) {
            let waiting = Waiting {
                len: end - start,
                follows: follows_at(start, &masked),
                line_ended: text.last().copied().is_some_and(is_break),
                is_head: begun.is_head,
                shortest: begun.shortest,
            };
            may_go = waiting.may_go();
            if next == Next::Nothing && waiting.is_too_much() {
                masked[start..].fill(true);
            }
            let goes = match next {
                Next::Nothing => true,
                Next::Pause => may_go,
                Next::More => waiting.goes_at_once(),
            };
            if goes {
                (limit, may_go) = (end, false);
            }
        }
        // What was let go is not shown again.
        let limit = letters.place(limit).max(done);
        let (shown, last) = letters.show(&text, done..limit, &masked, last);
        let kept = letters.place(start);
        *self = Self {
            follows: follows_at(start, &masked),
            done: limit.saturating_sub(kept),
            masked: certain - start,
            text: text.split_off(kept),
            last,
            may_go,
        };
        shown
    }
}

/// The end of a text with which a secret may begin.
struct Waiting {
    len: usize,
    follows: bool,
    line_ended: bool,
    is_head: bool,
    shortest: usize,
}

impl Waiting {
    /// A few bytes, at the end of a line or in the middle of no secret: what shows them waits for nothing, and if they are
    /// one, the rest of it is masked.
    fn goes_at_once(&self) -> bool {
        self.len < SHORTEST && !self.follows && (self.line_ended || !self.is_head)
    }

    /// So little that it says nothing, after a moment.
    fn may_go(&self) -> bool {
        !self.is_too_much() && self.len * 4 <= self.shortest.max(SHORTEST)
    }

    fn is_too_much(&self) -> bool {
        self.len >= TOO_MUCH || self.len * 2 > self.shortest || (self.follows && !self.line_ended)
    }
}

/// Whether a byte is a part of a line break.
fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// A text without line breaks, but for empty lines.
struct Letters {
    bytes: Vec<u8>,
    /// Where each is in the text; at the end, the text's length.
    places: Vec<usize>,
}

impl Letters {
    fn of(text: &[u8]) -> Self {
        let (mut bytes, mut places) = (Vec::with_capacity(text.len()), Vec::with_capacity(text.len() + 1));
        let mut breaks = 0;
        for (place, &byte) in text.iter().enumerate() {
            breaks = if is_break(byte) { breaks + 1 } else { 0 };
            if breaks == 0 || breaks == MOST_BREAKS + 1 {
                bytes.push(byte);
                places.push(place);
            }
        }
        places.push(text.len());
        Self { bytes, places }
    }

    fn place(&self, letter: usize) -> usize {
        self.places[letter]
    }

    /// Which of them belong to secrets; the first ones do.
    fn masked(&self, index: &Index, first: usize) -> Vec<bool> {
        let mut end = first;
        let masked = |at: usize| {
            if let Some(len) = index.longest_at(&self.bytes[at..]) {
                end = end.max(at + len);
            }
            at < end
        };
        (0..self.bytes.len()).map(masked).collect()
    }

    /// A part of the text as it is shown.
    fn show(
        &self,
        text: &[u8],
        part: std::ops::Range<usize>,
        masked: &[bool],
        mut last: Last,
    ) -> (Vec<u8>, Last) {
        let mut shown = Vec::with_capacity(part.len());
        let mut letter = self.places.partition_point(|&place| place < part.start);
        for place in part {
            let is_masked = self.places[letter] == place && masked[letter];
            letter += usize::from(self.places[letter] == place);
            match (is_masked, last) {
                (true, Last::Mask) => {}
                (true, Last::Text) => shown.extend(SHOWN),
                (false, _) => shown.push(text[place]),
            }
            last = if is_masked { Last::Mask } else { Last::Text };
        }
        (shown, last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask(secrets: &[&[u8]]) -> Mask {
        Mask::new(secrets.iter().copied())
    }

    /// All that is shown of these pieces.
    fn shown_of(secret: &[u8], pieces: &[&[u8]]) -> String {
        let mut mask = mask(&[secret]);
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(mask.push(0, Stream::Stdout, piece));
        }
        out.extend(mask.finish().into_iter().flat_map(|(_, bytes)| bytes));
        String::from_utf8_lossy(&out).into_owned()
    }

    fn shown(secret: &str, pieces: &[&str]) -> String {
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
        shown_of(secret.as_bytes(), &pieces)
    }

    #[test]
    fn a_secret_is_masked_wherever_the_pieces_end() {
        let text = "a hunter22 b hunter2 hunter22";
        for cut in 0..text.len() {
            let (first, second) = text.split_at(cut);
            assert_eq!(shown("hunter22\n", &[first, second]), "a *** b hunter2 ***", "{cut}");
        }
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(shown("hunter22\n", &letters), "a *** b hunter2 ***");
    }

    /// Bytes that look like nothing else.
    fn token(len: usize) -> Vec<u8> {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            letters[(state >> 32) as usize % letters.len()]
        };
        (0..len).map(|_| next()).collect()
    }

    fn wrapped(text: &str, width: usize, line_break: &str) -> String {
        let width = if width == 0 { text.len() } else { width };
        let lines = text.as_bytes().chunks(width).map(String::from_utf8_lossy);
        lines.map(|line| format!("{line}{line_break}")).collect()
    }

    #[test]
    fn base64_is_masked_whatever_its_length_offset_lines_and_frames() {
        for len in [10, 33, 57, 58, 96, 500] {
            let secret = token(len);
            for before in ["", "u", "u:", "us:", "user:"] {
                for after in ["", "\n", "!?"] {
                    let whole = [before.as_bytes(), &secret, after.as_bytes()].concat();
                    let encoded = crate::event::base64(&whole);
                    let hidden = (before.len() * 8).div_ceil(6)..(before.len() + len) * 8 / 6;
                    for (width, line_break) in [(0, "\n"), (64, "\n"), (76, "\n"), (76, "\r\n"), (5, "\n")] {
                        for frame in [1, 7, 64, 4096] {
                            let text = wrapped(&encoded, width, line_break);
                            let pieces: Vec<&[u8]> = text.as_bytes().chunks(frame).collect();
                            let shown = shown_of(&secret, &pieces);
                            let case = format!("{len} {before} {after:?} {width} {frame}: {shown}");
                            let left: String =
                                shown.replace("***", "").chars().filter(|c| !c.is_whitespace()).collect();
                            // A few digits at the end of a line are not waited for.
                            let most = encoded.len() - hidden.len() + SHORTEST - 1;
                            assert!(left.len() <= most, "{case}");
                            assert!(left.starts_with(&encoded[..hidden.start]), "{case}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn lines_are_kept_and_a_secret_in_many_is_masked_in_each() {
        assert_eq!(shown("hunter22", &["hunter22\nhunter22\n"]), "***\n***\n");
        assert_eq!(shown("hunter22", &["hunter\n22 and\n"]), "***\n*** and\n");
        let pem = "-----BEGIN KEY-----\nabcdefgh\nxy\n-----END KEY-----\n";
        assert_eq!(shown(pem, &[pem, "after\n"]), "***\n***\n***\n***\nafter\n");
        assert_eq!(shown(pem, &[&pem.replace('\n', "\r\n")]), "***\r\n***\r\n***\r\n***\r\n");
        assert_eq!(shown("hunter22", &["hunter\n\n\n22\n"]), "hunter\n\n\n22\n");
    }

    #[test]
    fn a_part_of_a_large_secret_is_masked() {
        let secret = String::from_utf8(token(500)).expect("text");
        assert_eq!(shown(&secret, &[&secret[..300], "\n"]), "***\n");
        let shown = shown(&secret, &["> ", &secret[10..400], "\n"]);
        assert!(shown.starts_with("> ") && shown.ends_with("***\n"), "{shown}");
        assert!(shown.len() <= "> ***\n".len() + index::WIDTH, "{shown}");
    }

    #[test]
    fn lines_of_a_secret_are_masked_and_short_ones_are_not_looked_for() {
        assert_eq!(shown("first line\nab\nlast line\n", &["ab last line, first line"]), "ab ***, ***");
        assert_eq!(shown("abc", &["abc"]), "abc");
        assert_eq!(shown("", &["abc"]), "abc");
    }

    #[test]
    fn secrets_that_overlap_are_masked_both() {
        let mut mask = mask(&[b"abcdef", b"defghi"]);
        assert_eq!(mask.push(0, Stream::Stdout, b" abcdefghi abcdefgx\n"), b" *** ***gx\n");
    }

    #[test]
    fn streams_do_not_mix() {
        let mut mask = mask(&[b"hunter22"]);
        assert_eq!(mask.push(0, Stream::Stdout, b"hunt"), b"");
        assert_eq!(mask.push(0, Stream::Stderr, b"er22"), b"er22");
        assert_eq!(mask.push(0, Stream::Stdout, b"er22"), b"***");
    }

    #[test]
    fn a_long_beginning_of_a_secret_is_not_shown_when_nothing_follows() {
        for (text, expected) in [
            ("correct", "correct"),
            ("correct-h", "***"),
            ("correct-horse-batter", "***"),
            ("correct-horse\n", "***\n"),
        ] {
            assert_eq!(shown("correct-horse-battery-staple", &[text]), expected);
        }
        assert_eq!(shown("hunter22", &["hunt"]), "hunt");
        assert_eq!(shown("hunter22", &["hunter2"]), "***");
    }

    #[test]
    fn a_prompt_is_shown_after_a_moment_and_a_secret_after_it_is_not() {
        let mut mask = mask(&[b"$ hunter22-and-more"]);
        let stream = Stream::Stdout;
        assert_eq!(mask.push(0, stream, b"guest:/# "), b"guest:/# ");
        assert!(!mask.waits());
        assert_eq!(mask.push(0, stream, b"name? $ "), b"name? ");
        assert!(mask.waits());
        assert_eq!(mask.pause(), [((0, stream), b"$ ".to_vec())]);
        assert!(!mask.waits());
        assert_eq!(mask.push(0, stream, b"hunter22-and-mo"), b"");
        assert!(!mask.waits(), "it is no prompt");
        assert_eq!(mask.push(0, stream, b"re\n"), b"***\n");
    }

    #[test]
    fn a_line_is_not_held_back_for_its_last_letters() {
        let mut mask = mask(&[b"dogma-and-cats"]);
        assert_eq!(mask.push(0, Stream::Stdout, b"found\ngood dog\n"), b"found\ngood dog\n");
        assert_eq!(mask.push(0, Stream::Stdout, b"ma-and-cats\n"), b"***\n");
    }

    #[test]
    fn what_was_shown_at_once_is_not_shown_again() {
        let mut mask = mask(&[b"hunter22"]);
        assert_eq!(mask.push(0, Stream::Stdout, b"hu\n"), b"hu\n");
        assert_eq!(mask.push(0, Stream::Stdout, b"n"), b"");
        assert_eq!(mask.push(0, Stream::Stdout, b"x"), b"nx");
    }

    /// Whether all of `part` is in `whole`, in its order.
    fn is_left_of(part: &[u8], whole: &[u8]) -> bool {
        let mut rest = whole.iter();
        part.iter().all(|byte| rest.any(|other| other == byte))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]
        #[test]
        fn nothing_is_added_or_lost_and_no_secret_is_shown(
            secrets in prop::collection::vec("[ab\n]{4,10}[abc]{4,60}", 1..3),
            words in prop::collection::vec(("[abc\nxy]{0,9}", 0_usize..6), 0..8),
            frames in prop::collection::vec((1_usize..40, any::<bool>()), 1..20),
        ) {
            let word = |(text, secret): &(String, usize)| {
                format!("{text}{}", secrets.get(*secret).map_or("", String::as_str))
            };
            let text: String = words.iter().map(word).collect();
            let mut mask = Mask::new(secrets.iter().map(String::as_bytes));
            let (mut rest, mut shown, mut paused) = (text.as_bytes(), Vec::new(), false);
            for &(frame, pauses) in frames.iter().cycle() {
                let (piece, after) = rest.split_at(frame.min(rest.len()));
                shown.extend(mask.push(0, Stream::Stdout, piece));
                if pauses {
                    paused = true;
                    shown.extend(mask.pause().into_iter().flat_map(|(_, bytes)| bytes));
                }
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            shown.extend(mask.finish().into_iter().flat_map(|(_, bytes)| bytes));
            let masked: Vec<u8> = shown.iter().copied().filter(|byte| *byte != b'*').collect();
            prop_assert!(is_left_of(&masked, text.as_bytes()));
            // Of what belongs to no secret at least these.
            let foreign = |text: &[u8]| text.iter().filter(|byte| b"\nxy".contains(byte)).count();
            prop_assert_eq!(foreign(&masked), foreign(text.as_bytes()));
            let is_shown = |secret: &String| {
                let secret = secret.trim_ascii_end().as_bytes();
                shown.windows(secret.len()).any(|window| window == secret)
            };
            prop_assert!(paused || !secrets.iter().any(is_shown));
        }
    }

    #[test]
    fn a_large_secret_of_many_lines_costs_little() {
        let lines: Vec<u8> = (0..40_000).flat_map(|n| format!("key-{n:08}\n").into_bytes()).collect();
        let mut mask = mask(&[&lines]);
        let output = b"an ordinary line of output, and key-00031415 in it\n".repeat(4_000);
        let mut shown = Vec::new();
        for frame in output.chunks(100) {
            shown.extend(mask.push(0, Stream::Stdout, frame));
            assert!(mask.streams.values().all(|held| held.text.len() <= 3 * index::WIDTH));
        }
        shown.extend(mask.finish().into_iter().flat_map(|(_, bytes)| bytes));
        assert_eq!(shown, b"an ordinary line of output, and *** in it\n".repeat(4_000));
    }
}
