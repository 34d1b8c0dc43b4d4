//! Control sequences in text for terminals (ECMA-48): where a sequence ends that begins with ESC, or with its C1 form in UTF-8.
//!
//! `report` drops sequences from a line, and `engine` must look past the same sequences when it searches for secrets.

/// The longest control sequence (a colour has some twenty bytes); a longer one is text.
const LONGEST_CONTROL: usize = 64;
/// The longest string for the terminal (a title, a link); a longer one is text.
const LONGEST_STRING: usize = 4096;

/// The beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequence {
    /// No sequence.
    None,
    /// A colour or another attribute of text (SGR), with its length in bytes.
    Colour(usize),
    /// Another sequence, with its length in bytes.
    Other(usize),
    /// A sequence whose end has not come.
    Open,
}

/// Reads the sequence at the beginning of `bytes`.
pub fn sequence(bytes: &[u8]) -> Sequence {
    match bytes {
        [0x1b] | [0xc2] => Sequence::Open,
        [0x1b, b'[', ..] | [0xc2, 0x9b, ..] => control(bytes),
        [0x1b, b']' | b'P' | b'X' | b'^' | b'_', ..] | [0xc2, 0x90 | 0x98 | 0x9d..=0x9f, ..] => string(bytes),
        [0x1b, b' '..=b'/', ..] => with_intermediates(bytes),
        [0x1b, b'0'..=b'~', ..] => Sequence::Other(2),
        [0x1b, ..] => Sequence::Other(1),
        _ => Sequence::None,
    }
}

/// A control sequence (5.4): parameters, a final byte.
fn control(bytes: &[u8]) -> Sequence {
    let length = bytes[2..].iter().take_while(|byte| matches!(byte, b' '..=b'?')).count();
    let end = 2 + length;
    match bytes.get(end) {
        _ if end > LONGEST_CONTROL => Sequence::None,
        Some(b'm') if bytes[2..end].iter().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':')) => {
            Sequence::Colour(end + 1)
        }
        Some(b'@'..=b'~') => Sequence::Other(end + 1),
        Some(_) => Sequence::Other(end),
        None => Sequence::Open,
    }
}

/// A control string (5.6), up to BEL, ST, another sequence, or the end of its line.
fn string(bytes: &[u8]) -> Sequence {
    let most = bytes.len().min(LONGEST_STRING);
    for at in 2..most {
        match bytes[at..] {
            [0x07, ..] => return Sequence::Other(at + 1),
            [0x1b, b'\\', ..] | [0xc2, 0x9c, ..] => return Sequence::Other(at + 2),
            // Another sequence ends it, so that no byte is read many times.
            [b'\n', ..] | [0x1b, _, ..] | [0xc2, 0x80..=0x9f, ..] => return Sequence::Other(at),
            _ => {}
        }
    }
    if most < LONGEST_STRING { Sequence::Open } else { Sequence::None }
}

/// An escape sequence of more than two bytes: the choice of a character set, for example.
fn with_intermediates(bytes: &[u8]) -> Sequence {
    let length = bytes[1..].iter().take_while(|byte| matches!(byte, b' '..=b'/')).count();
    let end = 1 + length;
    match bytes.get(end) {
        _ if end > LONGEST_CONTROL => Sequence::None,
        Some(b'0'..=b'~') => Sequence::Other(end + 1),
        Some(_) => Sequence::Other(end),
        None => Sequence::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_ends_where_a_terminal_ends_it() {
        let long = format!("\u{1b}[{}m", "1;".repeat(LONGEST_CONTROL));
        let title = format!("\u{1b}]0;{}\u{7}", "x".repeat(LONGEST_STRING));
        for (text, sequence) in [
            ("x", Sequence::None),
            ("\u{e9}", Sequence::None),
            ("\u{1b}[m", Sequence::Colour(3)),
            ("\u{1b}[38;2;1;2;3mx", Sequence::Colour(13)),
            ("\u{9b}1mx", Sequence::Colour(4)),
            ("\u{1b}[>4;2mx", Sequence::Other(7)),
            ("\u{1b}[2Jx", Sequence::Other(4)),
            ("\u{1b}[2\nx", Sequence::Other(3)),
            ("\u{1b}[", Sequence::Open),
            ("\u{1b}", Sequence::Open),
            ("\u{1b}\u{1b}[m", Sequence::Other(1)),
            ("\u{1b}cx", Sequence::Other(2)),
            ("\u{1b}(0x", Sequence::Other(3)),
            ("\u{1b}]0;title\u{7}x", Sequence::Other(10)),
            ("\u{1b}]8;;u\u{1b}\\x", Sequence::Other(8)),
            ("\u{9d}t\u{9c}x", Sequence::Other(5)),
            ("\u{1b}]0;title\nx", Sequence::Other(9)),
            ("\u{1b}]0;title\u{1b}[mx", Sequence::Other(9)),
            ("\u{1b}Pq", Sequence::Open),
            (&long, Sequence::None),
            (&title, Sequence::None),
        ] {
            assert_eq!(super::sequence(text.as_bytes()), sequence, "{text:?}");
        }
    }
}
