//! A text as it is compared with secrets: without invisible bytes, in several readings.
//!
//! Bytes that a terminal drops (control characters, colours, marks of no width) and line breaks can be between any two letters of a
//! secret that a person can read. Tools also quote letters. Each reading finds secrets that another misses.

use crate::control::{Sequence, sequence};

/// More line breaks than these are an empty line: no tool wraps a secret across one.
const MOST_BREAKS: usize = 2;

/// A way to read a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Without line breaks and invisible characters. The bytes of a control sequence are text.
    Plain,
    /// Without control sequences as well.
    Shown,
    /// The same; and the letter after a backspace replaces the letter before it.
    Overstruck,
    /// As [`Self::Shown`]; `%2F` is a slash.
    Percent,
    /// As [`Self::Shown`]; without a backslash before a character that is neither letter nor digit.
    Backslash,
}

/// All readings; the first is always of use.
pub(super) const READINGS: [Reading; 5] =
    [Reading::Plain, Reading::Shown, Reading::Overstruck, Reading::Percent, Reading::Backslash];

impl Reading {
    /// Whether it can see another text than [`Self::Plain`] does.
    pub(super) fn is_of_use(self, text: &[u8]) -> bool {
        match self {
            Self::Plain => true,
            Self::Shown => text.iter().any(|byte| matches!(byte, 0x1b | 0xc2)),
            Self::Overstruck => text.contains(&0x08) || text.ends_with(b"_"),
            Self::Percent => text.contains(&b'%'),
            Self::Backslash => text.contains(&b'\\'),
        }
    }
}

/// The token at a place of a text.
enum Token {
    Letter(u8),
    Break,
    Backspace,
    /// This number of invisible bytes.
    Nothing(usize),
    /// An incomplete token.
    Open(Open),
}

/// The kind of an incomplete token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    /// An invisible one.
    Unseen,
    /// A letter, or a part of one.
    Letter,
}

/// A quoted letter at the beginning of some letters.
enum Quoted {
    Not,
    /// This letter, quoted by this number of letters.
    As(u8, usize),
    /// Perhaps a quoted letter, when more comes.
    Open,
}

/// The letters of a text in one reading.
#[derive(Debug, Default)]
pub(super) struct Letters {
    pub(super) bytes: Vec<u8>,
    /// The place in the text of each one's first byte.
    places: Vec<u32>,
    /// Further bytes of the text that belong to a letter.
    more: Vec<(u32, u32)>,
    /// The end of the complete tokens.
    end: usize,
    pub(super) open: Option<Open>,
    unsettled: usize,
}

impl Letters {
    pub(super) fn of(text: &[u8], reading: Reading) -> Self {
        match reading {
            Reading::Plain | Reading::Shown | Reading::Overstruck => Self::written(text, reading),
            Reading::Percent => Self::written(text, Reading::Shown).unquoted(percent),
            Reading::Backslash => Self::written(text, Reading::Shown).unquoted(backslash),
        }
    }

    fn written(text: &[u8], reading: Reading) -> Self {
        let mut writer = LetterWriter::default();
        let (mut at, mut open) = (0, None);
        while at < text.len() {
            // The usual case, where most of the time is spent.
            let plain = text[at..].iter().take_while(|&&byte| KINDS[usize::from(byte)]).count();
            if plain > 0 && reading != Reading::Overstruck {
                writer.run(&text[at..at + plain], at);
                at += plain;
                continue;
            }
            at += match token(&text[at..], reading) {
                Token::Letter(byte) => writer.letter(byte, at),
                Token::Break => writer.line_break(text[at], at),
                Token::Backspace => writer.backspace(reading),
                Token::Nothing(length) => length,
                Token::Open(what) => {
                    open = Some(what);
                    break;
                }
            };
        }
        let mut letters = Self { end: at, open, unsettled: writer.back, ..writer.letters };
        if writer.back > 0 {
            (letters.end, letters.open) = (letters.place(letters.settled()), Some(Open::Letter));
        }
        letters
    }

    /// The number of letters that later output cannot overwrite.
    pub(super) fn settled(&self) -> usize {
        self.bytes.len().saturating_sub(self.unsettled)
    }

    /// Replaces quoted letters.
    fn unquoted(self, quoted: fn(&[u8]) -> Quoted) -> Self {
        let mut letters = Self { end: self.end, open: self.open, ..Self::default() };
        let mut at = 0;
        while at < self.bytes.len() {
            let (byte, length) = match quoted(&self.bytes[at..]) {
                Quoted::Not => (self.bytes[at], 1),
                Quoted::As(byte, length) => (byte, length),
                Quoted::Open => {
                    (letters.end, letters.open) = (self.place(at), Some(Open::Letter));
                    break;
                }
            };
            let own = letters.bytes.len() as u32;
            letters.bytes.push(byte);
            letters.places.push(self.places[at]);
            letters.more.extend(self.places[at + 1..at + length].iter().map(|&place| (place, own)));
            at += length;
        }
        letters
    }

    /// Where a letter begins; for the one after the last, the end of the complete tokens.
    pub(super) fn place(&self, letter: usize) -> usize {
        self.places.get(letter).map_or(self.end, |&place| place as usize)
    }

    /// The first letter that begins at this place or after it.
    pub(super) fn first_from(&self, place: usize) -> usize {
        self.places.partition_point(|&own| (own as usize) < place)
    }

    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// All bytes of the text that belong to a letter, with its number.
    pub(super) fn all_places(&self) -> impl Iterator<Item = (usize, usize)> {
        let first = self.places.iter().enumerate().map(|(letter, &place)| (place as usize, letter));
        first.chain(self.more.iter().map(|&(place, letter)| (place as usize, letter as usize)))
    }
}

/// Writes letters.
#[derive(Default)]
struct LetterWriter {
    letters: Letters,
    breaks: usize,
    /// The first letter of the current line: those before it cannot be overwritten.
    line: usize,
    /// How far backspaces have gone back from the last letter.
    back: usize,
}

impl LetterWriter {
    fn letter(&mut self, byte: u8, at: usize) -> usize {
        let Letters { bytes, places, more, .. } = &mut self.letters;
        self.breaks = 0;
        // A piece of output is far from 4 GiB.
        let place = at as u32;
        match bytes.len().checked_sub(self.back) {
            _ if self.back == 0 => {
                bytes.push(byte);
                places.push(place);
            }
            Some(own) => {
                bytes[own] = byte;
                more.push((place, own as u32));
            }
            // It is before the text.
            None => {}
        }
        self.back = self.back.saturating_sub(1);
        1
    }

    /// Letters of one byte each.
    fn run(&mut self, run: &[u8], at: usize) {
        self.breaks = 0;
        self.letters.bytes.extend_from_slice(run);
        self.letters.places.extend(at as u32..(at + run.len()) as u32);
    }

    fn line_break(&mut self, byte: u8, at: usize) -> usize {
        let breaks = self.breaks + 1;
        self.back = 0;
        if breaks == MOST_BREAKS + 1 {
            self.letter(byte, at);
        }
        (self.breaks, self.line) = (breaks, self.letters.bytes.len());
        1
    }

    /// Back over a character, which may have several bytes.
    fn backspace(&mut self, reading: Reading) -> usize {
        if reading == Reading::Overstruck {
            let bytes = &self.letters.bytes;
            // The beginning of the first line may be gone.
            while self.line == 0 || bytes.len() - self.back > self.line {
                self.back += 1;
                if bytes.len().checked_sub(self.back).is_none_or(|at| bytes[at] & 0xc0 != 0x80) {
                    break;
                }
            }
        }
        1
    }
}

/// Bytes that are a letter whatever follows: printable ASCII, tabs, and bytes with which no mark of no width begins.
static KINDS: [bool; 256] = {
    let mut kinds = [true; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = !matches!(byte, 0..=8 | 10..=31 | 127 | 0xc2 | 0xcd | 0xe2 | 0xef);
        byte += 1;
    }
    kinds
};

fn token(rest: &[u8], reading: Reading) -> Token {
    match (rest[0], reading) {
        (b'\n' | b'\r', _) => return Token::Break,
        (0x1b | 0xc2, Reading::Plain) => {}
        (0x1b | 0xc2, _) => match sequence(rest) {
            Sequence::Colour(length) | Sequence::Other(length) => return Token::Nothing(length),
            Sequence::Open => return Token::Open(Open::Unseen),
            Sequence::None => {}
        },
        (0x08, _) => return Token::Backspace,
        // Before a backspace it underlines the next letter.
        (b'_', Reading::Overstruck) if rest.len() == 1 => return Token::Open(Open::Letter),
        _ => {}
    }
    match rest[0] {
        byte if KINDS[usize::from(byte)] => Token::Letter(byte),
        byte if byte.is_ascii() => Token::Nothing(1),
        byte => mark(rest).unwrap_or(Token::Letter(byte)),
    }
}

/// `%2F`.
fn percent(rest: &[u8]) -> Quoted {
    let digit = |byte: u8| (byte as char).to_digit(16);
    match *rest {
        [b'%'] => Quoted::Open,
        [b'%', high] if digit(high).is_some() => Quoted::Open,
        [b'%', high, low, ..] => match (digit(high), digit(low)) {
            // Two digits are a byte.
            (Some(high), Some(low)) => Quoted::As((high * 16 + low) as u8, 3),
            _ => Quoted::Not,
        },
        _ => Quoted::Not,
    }
}

/// `\$`.
fn backslash(rest: &[u8]) -> Quoted {
    match *rest {
        [b'\\'] => Quoted::Open,
        [b'\\', byte, ..] if byte.is_ascii() && !byte.is_ascii_alphanumeric() => Quoted::As(byte, 2),
        _ => Quoted::Not,
    }
}

/// Characters of no width, and control characters of more than one byte, in UTF-8.
fn mark(rest: &[u8]) -> Option<Token> {
    match rest {
        // C1, soft hyphen.
        [0xc2, 0x80..=0x9f | 0xad, ..] => Some(Token::Nothing(2)),
        // Combining grapheme joiner.
        [0xcd, 0x8f, ..] => Some(Token::Nothing(2)),
        // U+200B to U+200F, U+2028 to U+202E, U+2060 to U+206F.
        [0xe2, 0x80, 0x8b..=0x8f | 0xa8..=0xae, ..] | [0xe2, 0x81, 0xa0..=0xaf, ..] => {
            Some(Token::Nothing(3))
        }
        // Variation selectors, byte order mark.
        [0xef, 0xb8, 0x80..=0x8f, ..] | [0xef, 0xbb, 0xbf, ..] => Some(Token::Nothing(3)),
        [0xc2 | 0xcd | 0xe2 | 0xef] | [0xe2, 0x80 | 0x81] | [0xef, 0xb8 | 0xbb] => {
            Some(Token::Open(Open::Unseen))
        }
        _ => None,
    }
}

/// A secret without bytes that no reading has.
pub(super) fn normal(text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    text.retain(|byte| !is_break(*byte));
    all_letters(&text, Reading::Plain)
}

/// All letters of a text, an incomplete token at its end included.
pub(super) fn all_letters(text: &[u8], reading: Reading) -> Vec<u8> {
    let mut letters = Letters::of(text, reading);
    letters.bytes.extend(&text[letters.end..]);
    letters.bytes
}

/// Whether a byte is a part of a line break.
pub(super) fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, reading: Reading) -> String {
        String::from_utf8_lossy(&Letters::of(text.as_bytes(), reading).bytes).into_owned()
    }

    #[test]
    fn each_reading_leaves_out_its_invisible_bytes() {
        for (text, reading, letters) in [
            ("a\tb\r\nc\0d\u{7}", Reading::Plain, "a\tbcd"),
            ("a\u{1b}[1mb", Reading::Plain, "a[1mb"),
            ("a\u{1b}[1mb\u{9b}mc\u{1b}]0;t\u{7}d\u{1b}[", Reading::Shown, "abcd"),
            ("a\u{200b}b\u{ad}c\u{feff}d\u{2028}e\u{85}f\u{fe0f}g", Reading::Plain, "abcdefg"),
            ("a\u{8}ab\u{8}bc\u{8}\u{8}xy", Reading::Overstruck, "axy"),
            ("_\u{8}\u{e9}\u{e9}\u{8}\u{e9}", Reading::Overstruck, "\u{e9}\u{e9}"),
            ("a\n\u{8}b", Reading::Overstruck, "ab"),
            ("%2fa%2F%zz%2", Reading::Percent, "/a/%zz"),
            ("\\$a\\b\\", Reading::Backslash, "$a\\b"),
        ] {
            assert_eq!(read(text, reading), letters, "{text:?} {reading:?}");
        }
    }

    #[test]
    fn an_empty_line_is_seen() {
        assert_eq!(read("a\r\nb\n\n\nc\n\n\n\nd", Reading::Plain), "ab\nc\nd");
    }
}
