//! Certificates in PEM (RFC 7468), with whatever text between them: what [`Trust`](crate::Trust) holds, read the same on both sides.

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// From `BEGIN` to `END`.
    pub text: String,
    /// What is encoded.
    pub der: Vec<u8>,
}

/// All certificates of a text.
///
/// # Errors
/// What is wrong, as a predicate of the file.
pub fn certificates(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        let number = blocks.len() + 1;
        let end = rest[start..].find(END).ok_or_else(|| format!("ends inside certificate {number}"))?;
        let body = &rest[start + BEGIN.len()..start + end];
        let der = decode(body).ok_or_else(|| format!("is damaged: certificate {number} is not base64"))?;
        blocks.push(Block { text: rest[start..start + end + END.len()].to_owned(), der });
        rest = &rest[start + end + END.len()..];
    }
    Ok(blocks)
}

/// Base64 (RFC 4648 §4), white space aside; none for what is not.
fn decode(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digits = digits.strip_suffix(b"==").or_else(|| digits.strip_suffix(b"=")).unwrap_or(&digits);
    let (mut bits, mut count, mut out) = (0u32, 0, Vec::new());
    for &digit in digits {
        bits = bits << 6 | value(digit)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    (!out.is_empty()).then_some(out)
}

fn value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_between_other_text() {
        let text = format!("# one\n{BEGIN}\nTWFu\nTWE=\n{END}\nnoise\n{BEGIN}\r\nTQ==\r\n{END}");
        let blocks = certificates(&text).expect("both are whole");
        assert_eq!(
            blocks.iter().map(|block| block.der.as_slice()).collect::<Vec<_>>(),
            [b"ManMa".as_slice(), b"M"]
        );
        assert!(blocks[1].text.starts_with(BEGIN) && blocks[1].text.ends_with(END));
    }

    #[test]
    fn what_is_cut_off_is_named() {
        let text = format!("{BEGIN}\nTWFu\n");
        assert_eq!(certificates(&text).err().as_deref(), Some("ends inside certificate 1"));
    }
}
