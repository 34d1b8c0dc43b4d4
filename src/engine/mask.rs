//! Secrets in what steps write, on its way to events: each is replaced by [`SHOWN`], across the pieces in which output
//! arrives, as it is and in base64.
//!
//! What could be the beginning of a secret is held back until more comes, or the step ends.

use std::collections::HashMap;

use kiln_protocol::{Secret, Stream};

/// What is shown in a secret's place.
const SHOWN: &[u8] = b"***";
/// A shorter piece of text says nothing: masking it would make output unreadable, and point at it.
pub const SHORTEST: usize = 4;
/// `base64` breaks its lines here.
const LINE: usize = 76;

/// What must not be shown.
#[derive(Default)]
pub(super) struct Mask {
    /// Longest first, so that of two that begin at one place the longer one is taken.
    patterns: Vec<Vec<u8>>,
    held: HashMap<(u32, Stream), Vec<u8>>,
}

impl Mask {
    /// A mask of secrets, and of other texts that are none of a step's business to show.
    pub(super) fn new<'s>(secrets: impl Iterator<Item = &'s [u8]>) -> Self {
        let mut patterns: Vec<Vec<u8>> = secrets.flat_map(forms).collect();
        patterns.retain(|pattern| pattern.len() >= SHORTEST);
        patterns.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        patterns.dedup();
        Self { patterns, held: HashMap::new() }
    }

    /// What of the output up to these bytes can be shown now.
    pub(super) fn push(&mut self, step: u32, stream: Stream, bytes: &[u8]) -> Vec<u8> {
        if self.patterns.is_empty() {
            return bytes.to_vec();
        }
        let mut text = self.held.remove(&(step, stream)).unwrap_or_default();
        text.extend(bytes);
        let (shown, rest) = self.masked(&text, Followed::Perhaps);
        if !rest.is_empty() {
            self.held.insert((step, stream), rest.to_vec());
        }
        shown
    }

    /// What was held back: nothing more comes.
    pub(super) fn finish(&mut self) -> Vec<((u32, Stream), Vec<u8>)> {
        let held = std::mem::take(&mut self.held);
        held.into_iter().map(|(of, text)| (of, self.masked(&text, Followed::No).0)).collect()
    }

    /// What was held back of one step.
    pub(super) fn finish_step(&mut self, step: u32) -> Vec<(Stream, Vec<u8>)> {
        let held: Vec<_> = self.held.extract_if(|(of, _), _| *of == step).collect();
        held.into_iter().map(|((_, stream), text)| (stream, self.masked(&text, Followed::No).0)).collect()
    }

    /// The text without secrets, up to where one may have begun; and the rest.
    fn masked<'t>(&self, text: &'t [u8], followed: Followed) -> (Vec<u8>, &'t [u8]) {
        let mut shown = Vec::with_capacity(text.len());
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            // A longer one that may still come wins over a shorter one that is there.
            let whole = self.patterns.iter().find(|pattern| rest.starts_with(pattern));
            let longer = |pattern: &Vec<u8>| pattern.len() > rest.len() && pattern.starts_with(rest);
            if followed == Followed::Perhaps && self.patterns.iter().any(longer) {
                return (shown, rest);
            }
            match whole {
                Some(pattern) => {
                    shown.extend(SHOWN);
                    at += pattern.len();
                }
                None => {
                    shown.push(text[at]);
                    at += 1;
                }
            }
        }
        (shown, &[])
    }
}

/// Whether more of a stream may come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Followed {
    Perhaps,
    No,
}

/// How a secret may appear: whole, line by line, in base64 wherever it begins in a group of three bytes.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let secret = secret.trim_ascii_end();
    let mut forms = vec![secret.to_vec()];
    let lines = secret.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    forms.extend(lines.map(<[u8]>::to_vec));
    for before in 0..3 {
        let encoded = inside(secret, before);
        forms.push(encoded.iter().map(|&digit| url_safe(digit)).collect());
        if before == 0 {
            // Not the last line: what is left of the secret there may be a few digits only.
            let lines = encoded.chunks(LINE).filter(|line| line.len() == LINE || encoded.len() < LINE);
            forms.extend(lines.map(<[u8]>::to_vec));
        }
        forms.push(encoded);
    }
    forms
}

/// The digits of base64 that depend on the secret alone, when `before` bytes of something else stand before it.
fn inside(secret: &[u8], before: usize) -> Vec<u8> {
    let mut bytes = vec![0; before];
    bytes.extend(secret);
    let text = crate::event::base64(&bytes);
    // Six bits a digit: those that hold a bit of what stands before are left out, and those that a byte after it fills.
    let first = (before * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    text.as_bytes().get(first..last).unwrap_or_default().to_vec()
}

fn url_safe(digit: u8) -> u8 {
    match digit {
        b'+' => b'-',
        b'/' => b'_',
        other => other,
    }
}

/// The values of secrets, for a mask.
pub(super) fn values(secrets: &[Secret]) -> impl Iterator<Item = &[u8]> {
    secrets.iter().map(|secret| secret.value.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that is shown of these pieces.
    fn shown(secret: &str, pieces: &[&str]) -> String {
        let mut mask = Mask::new([secret.as_bytes()].into_iter());
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(mask.push(0, Stream::Stdout, piece.as_bytes()));
        }
        out.extend(mask.finish().into_iter().flat_map(|(_, bytes)| bytes));
        String::from_utf8(out).expect("it was text")
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

    #[test]
    fn base64_is_masked_whatever_stands_around_it() {
        for before in ["", "u", "u:", "us:"] {
            for after in ["", "\n", "!?"] {
                let text = crate::event::base64(format!("{before}correct horse{after}").as_bytes());
                let shown = shown("correct horse", &[&text]);
                assert!(
                    shown.contains("***") && shown.len() <= 11 + 3,
                    "{before:?} {after:?}: {text} {shown}"
                );
            }
        }
    }

    #[test]
    fn lines_of_a_secret_are_masked_and_short_ones_are_not_looked_for() {
        assert_eq!(shown("first line\nab\nlast line\n", &["ab last line, first line"]), "ab ***, ***");
        assert_eq!(shown("abc", &["abc"]), "abc");
        assert_eq!(shown("", &["abc"]), "abc");
    }

    #[test]
    fn streams_do_not_mix() {
        let mut mask = Mask::new([b"hunter22".as_slice()].into_iter());
        assert_eq!(mask.push(0, Stream::Stdout, b"hunt"), b"");
        assert_eq!(mask.push(0, Stream::Stderr, b"er22"), b"er22");
        assert_eq!(mask.push(0, Stream::Stdout, b"er22"), b"***");
    }
}
