//! A scan of the end of a stream in one reading: which letters belong to secrets, and which bytes are held back.

use super::{
    encodings::SHORTEST,
    letters::{Letters, Open, Reading, is_break},
    matcher::{Begun, Matcher},
};

/// A beginning of a secret of this length is not shown, even if no more comes.
const TOO_MUCH: usize = 8;

/// Bytes of the last character of a secret, which may still be overwritten.
const CHARACTER: usize = 4;

/// Whether more bytes come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Perhaps at once.
    More,
    /// Perhaps later.
    Flush,
    Nothing,
}

/// The result of a scan, for the letters that the next scan sees again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Carry {
    /// The number of first letters that belong to a secret.
    secret: usize,
    /// Up to this letter, digits of base64 belong to it.
    digits: usize,
    /// Whether the letter before them belongs to a secret.
    follows: bool,
}

/// The result of a scan.
pub(super) struct Scan {
    pub(super) letters: Letters,
    /// Of each letter, whether it belongs to a secret.
    secret: Vec<bool>,
    digits: usize,
    follows: bool,
    /// The end of the bytes that can be shown now.
    pub(super) limit: usize,
    /// The first byte that the next scan needs.
    pub(super) kept: usize,
    /// Whether held-back bytes may be flushed after [`super::FLUSH_DELAY`].
    pub(super) may_go: bool,
}

impl Scan {
    pub(super) fn at(text: &[u8], reading: Reading, matcher: &Matcher, carry: Carry, next: Next) -> Self {
        let letters = Letters::of(text, reading);
        let Carry { secret, digits, follows } = carry;
        let (secret, digits) = secrets(&letters, matcher, secret, digits);
        let end = letters.settled();
        let limit = if next == Next::More { letters.end() } else { text.len() };
        let mut scan = Self { letters, secret, digits, follows, limit, kept: 0, may_go: true };
        let begun = matcher.begun(&scan.letters.bytes[..end]);
        let start = begun.as_ref().map_or(end, |begun| begun.start);
        let secret = scan.secret[..start].iter().rev().take(CHARACTER).take_while(|secret| **secret);
        scan.kept = scan.letters.place(start - secret.count());
        let alone = begun.is_none() && !scan.follows_at(end) && !matcher.begins_quoted();
        if alone && scan.letters.open == Some(Open::Letter) {
            (scan.limit, scan.kept) = (text.len(), text.len());
        }
        // Letters that already belong to a secret need not be held back.
        let certain = (start..end).find(|&at| !scan.secret[at]).unwrap_or(end);
        if let Some(begun) = begun.filter(|_| certain < end) {
            scan.wait(begun, certain, text.last().copied().is_some_and(is_break), next);
        }
        scan
    }

    /// Decides whether the end of the text is held back, with which a secret may begin.
    fn wait(&mut self, begun: Begun, certain: usize, line_ended: bool, next: Next) {
        let Begun { start, is_head, shortest } = begun;
        let len = self.letters.settled() - start;
        let waiting = Waiting { len, follows: self.follows_at(start), line_ended, is_head, shortest };
        if next == Next::Nothing && waiting.is_too_much() {
            self.secret[start..].fill(true);
        }
        self.may_go = waiting.may_go();
        let goes = match next {
            Next::Nothing => true,
            Next::Flush => self.may_go,
            Next::More => waiting.goes_at_once(),
        };
        if !goes {
            self.limit = self.letters.place(certain);
        }
    }

    fn follows_at(&self, letter: usize) -> bool {
        letter.checked_sub(1).map_or(self.follows, |before| self.secret[before])
    }

    /// The result for the letters from this place on.
    pub(super) fn carry(&self, kept: usize) -> Carry {
        let first = self.letters.first_from(kept);
        let secret = self.secret[first..].iter().take_while(|secret| **secret).count();
        Carry { secret, digits: self.digits.saturating_sub(first), follows: self.follows_at(first) }
    }

    pub(super) fn has_secret(&self) -> bool {
        self.secret.contains(&true)
    }

    /// The bytes of the text that belong to secrets.
    pub(super) fn secret_places(&self) -> impl Iterator<Item = usize> {
        self.letters.all_places().filter(|(_, letter)| self.secret[*letter]).map(|(place, _)| place)
    }
}

/// Which letters belong to secrets; the first `first` do. After the last, digits of base64 up to the second value do.
fn secrets(letters: &Letters, matcher: &Matcher, first: usize, digits: usize) -> (Vec<bool>, usize) {
    let bytes = &letters.bytes;
    let (mut end, mut digits) = (first, digits);
    let secret = |at: usize| {
        if let Some(found) = matcher.longest_at(&bytes[at..]) {
            end = end.max(at + found.len);
            if found.digits_after > 0 {
                digits = digits.max(at + found.len + found.digits_after);
            }
        }
        if at >= end && at < digits {
            // Any other letter ends the group.
            if is_digit(bytes[at]) { end = at + 1 } else { digits = at }
        }
        at < end
    };
    ((0..bytes.len()).map(secret).collect(), digits)
}

/// A digit of base64, or its padding.
fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
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
    /// A few bytes, at the end of a line or not in the middle of a secret: they are shown at once, and if a secret follows, its
    /// rest is redacted.
    fn goes_at_once(&self) -> bool {
        self.len < SHORTEST && !self.follows && (self.line_ended || !self.is_head)
    }

    /// Few enough to be harmless, after the delay; more if no whole encoding begins like this.
    fn may_go(&self) -> bool {
        !self.is_too_much() && (!self.is_head || self.len * 4 <= self.shortest.max(SHORTEST))
    }

    fn is_too_much(&self) -> bool {
        self.len >= TOO_MUCH || self.len * 2 > self.shortest || (self.follows && !self.line_ended)
    }
}
