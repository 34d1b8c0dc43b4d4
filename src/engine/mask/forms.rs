//! How a secret may appear in output: as it is, and as tools encode it.

use std::collections::BTreeSet;

use super::SHORTEST;

/// Larger ones stand in no URL, document or command line.
const MOST_QUOTED: usize = 64 << 10;

/// All forms of these secrets that can be looked for: without line breaks, and none that is too short.
pub(super) fn all<'s>(secrets: impl Iterator<Item = &'s [u8]>) -> BTreeSet<Vec<u8>> {
    let forms = secrets.flat_map(of).map(|mut form| {
        form.retain(|byte| !super::is_break(*byte));
        form
    });
    forms.filter(|form| form.len() >= SHORTEST).collect()
}

/// Whole, line by line, in base64, in a URL, in JSON, in a shell's quotes.
fn of(secret: &[u8]) -> Vec<Vec<u8>> {
    let secret = secret.trim_ascii_end();
    let mut forms = vec![secret.to_vec()];
    let lines = secret.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    forms.extend(lines.map(<[u8]>::to_vec));
    for before in 0..3 {
        let encoded = inside(secret, before);
        forms.push(encoded.iter().map(|&digit| url_safe(digit)).collect());
        forms.push(encoded);
    }
    if secret.len() <= MOST_QUOTED && secret.len() >= SHORTEST {
        forms.extend(in_url(secret));
        forms.extend(in_json(secret));
        forms.push(replaced(secret, b'\'', br"'\''"));
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

/// What tools leave as it is in a URL, besides letters and digits: RFC 3986, Python's `quote`, `encodeURIComponent`, forms.
const KEPT: [&[u8]; 4] = [b"-._~", b"-._~/", b"-._~!'()*", b"-._*"];

fn in_url(secret: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let digits: [&[u8; 16]; 2] = [b"0123456789ABCDEF", b"0123456789abcdef"];
    let ways = KEPT.into_iter().flat_map(move |kept| digits.map(|digits| (kept, digits)));
    let spaces = |form: &Vec<u8>| form.windows(3).any(|three| three == b"%20");
    let encoded = ways.map(move |(kept, digits)| {
        let encode = |&byte: &u8| match byte {
            byte if byte.is_ascii_alphanumeric() || kept.contains(&byte) => vec![byte],
            byte => vec![b'%', digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]],
        };
        secret.iter().flat_map(encode).collect()
    });
    encoded.flat_map(move |form: Vec<u8>| {
        let with_plus = spaces(&form).then(|| {
            let text = String::from_utf8_lossy(&form).replace("%20", "+");
            text.into_bytes()
        });
        [Some(form), with_plus].into_iter().flatten()
    })
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
    fn a_secret_is_known_as_tools_write_it() {
        let forms = all([b"pa/s w+r\"d'\xc3\xa9\n".as_slice()].into_iter());
        for form in [
            "pa/s w+r\"d'é",
            "pa%2Fs%20w%2Br%22d%27%C3%A9",
            "pa%2fs%20w%2br%22d%27%c3%a9",
            "pa/s%20w%2Br%22d%27%C3%A9",
            "pa%2Fs+w%2Br%22d%27%C3%A9",
            "pa%2Fs%20w%2Br%22d'%C3%A9",
            "pa/s w+r\\\"d'é",
            "pa\\/s w+r\\\"d'\\u00e9",
            "pa/s w+r\"d'\\''é",
        ] {
            assert!(forms.contains(form.as_bytes()), "{form}");
        }
    }

    #[test]
    fn nothing_short_is_looked_for() {
        assert!(all([b"abc".as_slice(), b"", b"\n\n"].into_iter()).iter().all(|form| form.len() >= SHORTEST));
    }
}
