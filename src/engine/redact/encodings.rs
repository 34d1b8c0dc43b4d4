//! The encodings of a secret in output: as it is, and as tools encode it. Quoted letters are the business of readings.

use std::collections::BTreeSet;

use data_encoding::{BASE64, HEXLOWER, HEXUPPER};

use super::letters::normal;

/// A shorter text is not redacted: that would make output unreadable, and point at the text.
pub const SHORTEST: usize = 4;
/// Larger secrets are not in documents or command lines.
const MOST_QUOTED: usize = 64 << 10;

/// A text to be looked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Encoding {
    pub(super) bytes: Vec<u8>,
    pub(super) part: Part,
    /// The number of base64 digits after it that hold bits of the secret, or are padding.
    pub(super) digits_after: u8,
}

/// The part of a secret that is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// All of it: half of it must be found, too.
    Whole,
    /// A line of many: it may be a common word, so only the whole line is found.
    Line,
}

/// All encodings of these secrets, without line breaks; those that are too short are left out.
pub(super) fn all<'s>(secrets: impl Iterator<Item = &'s [u8]>) -> BTreeSet<Encoding> {
    let all = secrets.flat_map(of).map(|one| Encoding { bytes: normal(&one.bytes), ..one });
    all.filter(|one| one.bytes.len() >= SHORTEST).collect()
}

/// Whole, line by line, in base64, in hexadecimal digits, in a form, in JSON, in a shell's quotes.
fn of(secret: &[u8]) -> Vec<Encoding> {
    let secret = secret.trim_ascii_end();
    let encoding = |bytes, part| Encoding { bytes, part, digits_after: 0 };
    let mut encodings = vec![encoding(secret.to_vec(), Part::Whole)];
    let lines = secret.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    encodings.extend(lines.map(|line| encoding(line.to_vec(), Part::Line)));
    for before in 0..3 {
        let encoded = inside(secret, before);
        encodings.push(Encoding {
            bytes: encoded.bytes.iter().map(|&digit| url_safe(digit)).collect(),
            ..encoded.clone()
        });
        encodings.push(encoded);
    }
    if secret.len() <= MOST_QUOTED && secret.len() >= SHORTEST {
        let mut quoted = in_json(secret);
        quoted.extend([HEXLOWER, HEXUPPER].map(|digits| digits.encode(secret).into_bytes()));
        quoted.push(replaced(secret, b'\'', br"'\''"));
        // In the fields of a web form a space is a plus, all else as in a URL.
        quoted.push(replaced(secret, b' ', b"+"));
        encodings.extend(quoted.into_iter().map(|bytes| encoding(bytes, Part::Whole)));
    }
    encodings
}

/// The digits of base64 that depend on the secret alone, with `before` other bytes before it.
fn inside(secret: &[u8], before: usize) -> Encoding {
    let mut bytes = vec![0; before];
    bytes.extend(secret);
    let text = BASE64.encode(&bytes);
    // Six bits a digit: digits with a bit of the bytes before are left out, and the last if a byte after the secret fills it.
    let first = (before * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    let digits = text.as_bytes().get(first..last).unwrap_or_default().to_vec();
    // The rest of their group of four.
    let digits_after = [0, 3, 2][bytes.len() % 3];
    Encoding { bytes: digits, part: Part::Whole, digits_after }
}

fn url_safe(digit: u8) -> u8 {
    match digit {
        b'+' => b'-',
        b'/' => b'_',
        other => other,
    }
}

/// In JSON's quotes: as most write it, with `\/`, and without a letter that is not ASCII.
fn in_json(secret: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = str::from_utf8(secret) else { return Vec::new() };
    let Ok(quoted) = serde_json::to_string(text) else { return Vec::new() };
    let quoted = &quoted[1..quoted.len() - 1];
    let escape = |c: char| match c.is_ascii() {
        true => c.to_string(),
        false => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    };
    let ascii: String = quoted.chars().map(escape).collect();
    let slashes = |text: &str| replaced(text.as_bytes(), b'/', br"\/");
    vec![quoted.into(), slashes(quoted), slashes(&ascii), ascii.into()]
}

fn replaced(text: &[u8], byte: u8, with: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|own| if *own == byte { with } else { std::slice::from_ref(own) }).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_have_no_encodings() {
        assert!(
            all([b"abc".as_slice(), b"", b"\n\n"].into_iter()).iter().all(|one| one.bytes.len() >= SHORTEST)
        );
    }
}
