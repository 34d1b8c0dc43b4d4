//! Certificates in PEM (RFC 7468), with any text between them: the content of [`Trust`](crate::Trust), read the same on both sides.

/// Begins a PEM block of any kind.
const MARK: &str = "-----BEGIN ";
/// A certificate with OpenSSL's trust settings.
const TRUSTED: &str = "-----BEGIN TRUSTED CERTIFICATE-----";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The line of its `BEGIN`, from 1.
    pub line: usize,
    /// From `BEGIN` to `END`.
    pub text: String,
    /// The decoded bytes.
    pub der: Vec<u8>,
}

/// A block that is not a valid certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line of its `BEGIN`, from 1.
    pub line: usize,
    /// Why it is not valid.
    pub why: &'static str,
}

/// All certificates of a text, and the invalid blocks.
pub fn certificates(text: &str) -> (Vec<Block>, Vec<Fault>) {
    let (mut blocks, mut faults) = (Vec::new(), Vec::new());
    let (mut at, mut line) = (0, 1);
    while let Some(start) = text[at..].find(MARK).map(|found| at + found) {
        let label = &text[start..];
        line += text[at..start].matches('\n').count();
        at = start + MARK.len();
        let fault = |why| Fault { line, why };
        if label.starts_with(TRUSTED) {
            faults.push(fault("an OpenSSL TRUSTED CERTIFICATE, which other tools cannot read"));
        } else if label.starts_with(BEGIN) {
            let body = &text[start + BEGIN.len()..];
            let end = body.find(END).filter(|end| body.find(MARK).is_none_or(|next| *end < next));
            match end.map(|end| (end, decode(&body[..end]))) {
                None => faults.push(fault("it has no end")),
                Some((_, None)) => faults.push(fault("it is not base64")),
                Some((end, Some(der))) => {
                    let text = label[..BEGIN.len() + end + END.len()].to_owned();
                    blocks.push(Block { line, text, der });
                }
            }
        }
    }
    (blocks, faults)
}

/// Decodes Base64 (RFC 4648 §4) and ignores white space; `None` if it is malformed.
fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut count, mut padding) = (0u32, 0, 0);
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for byte in text.bytes() {
        match VALUES[usize::from(byte)] {
            BLANK => {}
            PADDING => padding += 1,
            value @ 0..64 if padding == 0 => {
                bits = bits << 6 | u32::from(value);
                count += 6;
                if count >= 8 {
                    count -= 8;
                    out.push((bits >> count) as u8);
                }
            }
            _ => return None,
        }
    }
    (!out.is_empty() && padding <= 2).then_some(out)
}

/// Of a byte that is no digit but white space, a byte that fills up the last group, and any other.
const BLANK: u8 = 64;
const PADDING: u8 = 65;
const NONE: u8 = 66;
/// The value of each byte.
const VALUES: [u8; 256] = {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [NONE; 256];
    let mut at = 0;
    while at < digits.len() {
        values[digits[at] as usize] = at as u8;
        at += 1;
    }
    values[b'=' as usize] = PADDING;
    values[b' ' as usize] = BLANK;
    values[b'\t' as usize] = BLANK;
    values[b'\n' as usize] = BLANK;
    values[b'\r' as usize] = BLANK;
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_between_other_text() {
        let text = format!("# one\n{BEGIN}\nTWFu\nTWE=\n{END}\nnoise\n{BEGIN}\r\nTQ==\r\n{END}");
        let (blocks, faults) = certificates(&text);
        assert_eq!(faults, []);
        assert_eq!(blocks.iter().map(|block| block.line).collect::<Vec<_>>(), [2, 7]);
        assert_eq!(
            blocks.iter().map(|block| block.der.as_slice()).collect::<Vec<_>>(),
            [b"ManMa".as_slice(), b"M"]
        );
        assert!(blocks[1].text.starts_with(BEGIN) && blocks[1].text.ends_with(END));
    }

    #[test]
    fn invalid_blocks_are_reported_by_line_and_the_rest_is_found() {
        let whole = format!("{BEGIN}\nTWFu\n{END}\n");
        let key = "-----BEGIN PRIVATE KEY-----\nTWFu\n-----END PRIVATE KEY-----\n";
        let trusted = format!("{TRUSTED}\nTWFu\n-----END TRUSTED CERTIFICATE-----\n");
        let text = format!("{BEGIN}\nTWFu\n{whole}{key}{BEGIN}\n!!\n{END}\n{trusted}{whole}{BEGIN}\nTWFu\n");
        let (blocks, faults) = certificates(&text);
        assert_eq!(blocks.iter().map(|block| block.line).collect::<Vec<_>>(), [3, 15]);
        let faults: Vec<_> = faults.iter().map(|fault| (fault.line, &fault.why[..9])).collect();
        assert_eq!(faults, [(1, "it has no"), (9, "it is not"), (12, "an OpenSS"), (18, "it has no")]);
    }
}
