//! Makes a line from a guest safe for a terminal: drops sequences that move the cursor, ring, set titles or reorder text.

use crate::control::{Sequence, sequence};

/// Whether colours (SGR sequences) stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Keep,
    Drop,
}

/// The line as a terminal shows it in the end: text before a carriage return is overwritten. Colours that stay are reset at the end
/// of the line.
pub(super) fn sanitize(line: &str, colour: Colour) -> String {
    let shown = line.trim_end_matches('\r');
    let shown = shown.rsplit('\r').next().unwrap_or(shown);
    let mut text = String::with_capacity(shown.len());
    let mut coloured = false;
    let mut rest = shown;
    loop {
        // The usual case.
        let plain = rest.bytes().take_while(|byte| matches!(byte, b'\t' | b' '..=b'~')).count();
        let (piece, after) = rest.split_at(plain);
        text.push_str(piece);
        rest = after;
        let Some(char) = rest.chars().next() else { break };
        let (length, stays) = match sequence(rest.as_bytes()) {
            Sequence::Colour(length) => (length, colour == Colour::Keep),
            Sequence::Other(length) => (length, false),
            Sequence::Open => (rest.len(), false),
            Sequence::None => (char.len_utf8(), is_shown(char)),
        };
        let (piece, after) = rest.split_at(length);
        if stays {
            match piece.strip_prefix(['\u{1b}', '\u{9b}']) {
                None => text.push_str(piece),
                Some(parameters) => {
                    coloured = true;
                    text.push_str("\u{1b}[");
                    text.push_str(parameters.trim_start_matches('['));
                }
            }
        }
        rest = after;
    }
    if coloured {
        text.push_str("\u{1b}[0m");
    }
    text
}

/// Whether a character outside of sequences stays.
pub(super) fn is_shown(char: char) -> bool {
    match char {
        '\t' => true,
        // Marks that reorder text.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        // U+2028 and U+2029 break lines in some terminals.
        '\u{2028}' | '\u{2029}' => false,
        char => !char.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_text_tabs_and_colours_stay() {
        for (line, kept, dropped) in [
            ("plain\ttext é", "plain\ttext é", "plain\ttext é"),
            ("\u{1b}[1;31mred\u{1b}[m", "\u{1b}[1;31mred\u{1b}[m\u{1b}[0m", "red"),
            ("\u{1b}[2J\u{1b}[1;1Hx\u{1b}[?1049hy", "xy", "xy"),
            ("\u{1b}]0;title\u{7}x\u{1b}]8;;http://e\u{1b}\\link", "xlink", "xlink"),
            ("\u{1b}]52;c;never ended", "", ""),
            ("\u{1b}Pq\u{9c}x\u{1b}(0y\u{1b}cz", "xyz", "xyz"),
            ("\u{9b}2Jx\u{9d}title\u{7}y", "xy", "xy"),
            ("bell\u{7} back\u{8} nul\0 del\u{7f}", "bell back nul del", "bell back nul del"),
            ("10%\r50%\r100%\r", "100%", "100%"),
            ("\u{1b}[>4;2mx\u{1b}[", "x", "x"),
            ("a\u{202e}b\u{2066}c\u{2028}d", "abcd", "abcd"),
        ] {
            assert_eq!(sanitize(line, Colour::Keep), kept, "{line:?}");
            assert_eq!(sanitize(line, Colour::Drop), dropped, "{line:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_control_character_is_left(line in "[\u{1b}\u{9b}\\[\\]P;0-9mHa\\\\\u{7}\r\u{90}-\u{9f} ]{0,40}") {
            let text = sanitize(&line, Colour::Drop);
            prop_assert!(!text.chars().any(char::is_control), "{:?}", text);
            // With colours: the same, and each ESC starts a colour.
            let coloured = sanitize(&line, Colour::Keep);
            prop_assert_eq!(sanitize(&coloured, Colour::Drop), text);
        }
    }
}
