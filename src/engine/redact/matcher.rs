//! Finds pieces of encodings in a text.
//!
//! An encoding is cut into pieces of at most [`WIDTH`] bytes that cover it, and each is searched for on its own. So no
//! more text than a piece is ever held back, however large a secret is. The memory is the text of the encodings and a few bytes for
//! each piece. Pieces are sorted; a place where no piece begins costs one look into a filter.

use super::encodings::{Encoding, Part, SHORTEST};

/// The most bytes of a piece.
pub(super) const WIDTH: usize = 32;
/// Shorter pieces of a longer encoding are too common.
const NARROWEST: usize = 8;
/// A piece begins at each byte of an encoding of at most so many bytes: a few KiB of pieces. Of a longer one a part is found that
/// is twice as long as a piece, or nearly.
const DENSE: usize = 1024;
/// Places in the filter, as a power of two.
const FILTER_BITS: u32 = 20;

/// The pieces to search for.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    /// All encodings, one after the other.
    text: Vec<u8>,
    /// Sorted by their bytes.
    pieces: Vec<Piece>,
    /// The first piece of each encoding, sorted by their bytes.
    heads: Vec<Piece>,
    /// A bit for each piece, at the hash of its first bytes.
    filter: Vec<u64>,
    begins_quoted: bool,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    start: u32,
    len: u8,
    /// [`Encoding::digits_after`], for the last piece of its encoding.
    digits_after: u8,
    /// The longest other piece with which this one begins.
    shorter: Option<u32>,
}

impl Matcher {
    /// A matcher of encodings, which have no line breaks and are not too short.
    pub(super) fn new(encodings: impl IntoIterator<Item = Encoding>) -> Self {
        let mut matcher = Self::default();
        for Encoding { bytes: encoding, part, digits_after } in encodings {
            let begin = matcher.text.len();
            matcher.text.extend(&encoding);
            matcher.begins_quoted |= encoding.first().is_some_and(|byte| !byte.is_ascii_alphanumeric());
            let width = width(encoding.len(), part);
            // Secrets are a few hundred KiB, and so are their encodings but for a factor.
            let at = |start| u32::try_from(begin + start).unwrap_or(u32::MAX);
            for start in starts(encoding.len(), width) {
                let digits_after = if start + width == encoding.len() { digits_after } else { 0 };
                matcher.pieces.push(Piece {
                    start: at(start),
                    len: width as u8,
                    digits_after,
                    shorter: None,
                });
            }
            let len = WIDTH.min(encoding.len()) as u8;
            matcher.heads.push(Piece { start: at(0), len, digits_after: 0, shorter: None });
        }
        matcher.put_in_order();
        matcher
    }

    fn put_in_order(&mut self) {
        let Self { text, pieces, heads, filter, begins_quoted: _ } = self;
        for list in [&mut *pieces, heads] {
            // Of equal pieces the first stays.
            let order = |piece: &Piece| (piece.bytes(text), std::cmp::Reverse(piece.digits_after));
            list.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
            list.dedup_by(|a, b| a.bytes(text) == b.bytes(text));
        }
        if !pieces.is_empty() {
            *filter = vec![0; 1 << (FILTER_BITS - 6)];
        }
        let mut prefixes: Vec<u32> = Vec::new();
        for at in 0..pieces.len() {
            let bytes = pieces[at].bytes(text);
            while prefixes.last().is_some_and(|&last| !bytes.starts_with(pieces[last as usize].bytes(text))) {
                prefixes.pop();
            }
            let place = hash(bytes);
            filter[place / 64] |= 1 << (place % 64);
            pieces[at].shorter = prefixes.last().copied();
            prefixes.push(u32::try_from(at).unwrap_or(u32::MAX));
        }
    }

    /// Whether an encoding begins with a character that tools quote.
    pub(super) fn begins_quoted(&self) -> bool {
        self.begins_quoted
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The longest piece with which `text` begins.
    #[inline]
    pub(super) fn longest_at(&self, text: &[u8]) -> Option<Found> {
        if text.len() < SHORTEST {
            return None;
        }
        let place = hash(text);
        if self.filter[place / 64] & 1 << (place % 64) == 0 {
            return None;
        }
        self.look_up(text)
    }

    fn look_up(&self, text: &[u8]) -> Option<Found> {
        let head = &text[..text.len().min(WIDTH)];
        // Every piece with which `head` begins is at or before this one, and this one begins with it as well.
        let after = self.pieces.partition_point(|piece| piece.bytes(&self.text) <= head);
        let mut piece = self.pieces.get(after.checked_sub(1)?)?;
        let same = piece.bytes(&self.text).iter().zip(head).take_while(|(a, b)| a == b).count();
        while usize::from(piece.len) > same {
            piece = self.pieces.get(piece.shorter? as usize)?;
        }
        Some(Found { len: usize::from(piece.len), digits_after: usize::from(piece.digits_after) })
    }

    /// The possible beginning of a piece at the end of `text`.
    pub(super) fn begun(&self, text: &[u8]) -> Option<Begun> {
        let from = text.len().saturating_sub(WIDTH - 1);
        (from..text.len()).find_map(|start| {
            let begin = &text[start..];
            let shortest = |list| self.after(list, begin).map(|piece| piece.len).min();
            let piece = shortest(&self.pieces);
            let head = shortest(&self.heads);
            // More of a whole encoding may be shown than of a piece of it.
            Some(Begun { start, is_head: head.is_some(), shortest: usize::from(head.or(piece)?) })
        })
    }

    /// The pieces of a list that begin with these bytes and have more.
    fn after<'i>(&'i self, list: &'i [Piece], begin: &'i [u8]) -> impl Iterator<Item = &'i Piece> {
        let first = list.partition_point(|piece| piece.bytes(&self.text) <= begin);
        // A few are enough to know their lengths.
        list[first..].iter().take(1000).take_while(move |piece| piece.bytes(&self.text).starts_with(begin))
    }
}

/// A piece at a place of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) len: usize,
    pub(super) digits_after: usize,
}

/// The end of a text that is the beginning of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Begun {
    /// Its place in the text.
    pub(super) start: usize,
    /// Whether a whole encoding begins like this.
    pub(super) is_head: bool,
    /// The length of the shortest such piece.
    pub(super) shortest: usize,
}

impl Piece {
    fn bytes(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..][..usize::from(self.len)]
    }
}

/// The length of an encoding's pieces: half of it or more, so that any half of it holds one.
fn width(len: usize, part: Part) -> usize {
    match part {
        Part::Whole if len > NARROWEST => len.div_ceil(2).clamp(NARROWEST, WIDTH),
        Part::Whole | Part::Line => len.min(WIDTH),
    }
}

/// Where the pieces of an encoding begin: the last one ends where the encoding does.
fn starts(len: usize, width: usize) -> impl Iterator<Item = usize> {
    let last = len - width;
    (0..last).step_by(if len <= DENSE { 1 } else { width }).chain([last])
}

fn hash(bytes: &[u8]) -> usize {
    let mut key = [0; SHORTEST];
    key.copy_from_slice(&bytes[..SHORTEST]);
    (u32::from_le_bytes(key).wrapping_mul(0x9E37_79B1) >> (32 - FILTER_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(encodings: &[&str]) -> Matcher {
        let encoding = |encoding: &&str| Encoding {
            bytes: encoding.as_bytes().to_vec(),
            part: Part::Line,
            digits_after: 0,
        };
        Matcher::new(encodings.iter().map(encoding))
    }

    #[test]
    fn the_longest_piece_is_found() {
        let matcher = matcher(&["abcd", "abcdef", "abcdefgh", "abce", "zzzz"]);
        for (text, found) in [
            ("abcd", Some(4)),
            ("abcdeX", Some(4)),
            ("abcdefgX", Some(6)),
            ("abcdefghi", Some(8)),
            ("abcf", None),
            ("abc", None),
            ("zzzzz", Some(4)),
        ] {
            assert_eq!(matcher.longest_at(text.as_bytes()).map(|found| found.len), found, "{text}");
        }
    }

    #[test]
    fn pieces_cover_an_encoding_and_half_of_a_whole_one_holds_one() {
        for part in [Part::Whole, Part::Line] {
            for len in [4, 8, 9, 21, 31, 32, 33, 64, 65, 500, 1024, 1025, 5000] {
                let width = width(len, part);
                let all: Vec<usize> = starts(len, width).collect();
                let mut covered = 0;
                for start in &all {
                    assert!(*start <= covered, "{len}");
                    covered = start + width;
                }
                assert_eq!(covered, len);
                if part == Part::Whole && (2 * NARROWEST..=DENSE).contains(&len) {
                    let half = len.div_ceil(2);
                    let holds =
                        |from: usize| all.iter().any(|&start| start >= from && start + width <= from + half);
                    assert!((0..=len - half).all(holds), "{len}");
                }
            }
        }
    }

    #[test]
    fn what_a_piece_begins_with_is_found_at_the_end() {
        let matcher = matcher(&["abcd", "bcdefghi"]);
        let begun = |text: &str| matcher.begun(text.as_bytes());
        assert_eq!(begun("xabc"), Some(Begun { start: 1, is_head: true, shortest: 4 }));
        assert_eq!(begun("abcd"), Some(Begun { start: 1, is_head: true, shortest: 8 }));
        assert_eq!(begun("abcx"), None);
    }
}
