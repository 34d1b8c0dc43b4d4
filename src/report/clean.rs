//! Makes a line from a guest fit for a terminal: what moves the cursor, rings, sets titles or reorders text is dropped.

/// Whether colours (SGR sequences) stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Keep,
    Drop,
}

/// The line as a terminal would have shown it in the end: what stands before a carriage return is overwritten.
/// Colours that stay are reset at its end.
pub(super) fn clean(line: &str, colour: Colour) -> String {
    let shown = line.trim_end_matches('\r');
    let shown = shown.rsplit('\r').next().unwrap_or(shown);
    let mut text = String::with_capacity(shown.len());
    let mut coloured = false;
    let mut chars = shown.chars();
    while let Some(char) = chars.next() {
        match char {
            '\t' => text.push(char),
            '\u{1b}' => coloured |= escape(&mut chars, colour, &mut text),
            '\u{9b}' => coloured |= control(&mut chars, colour, &mut text),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => string(&mut chars),
            // Marks that make text read in another order than it stands.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            // U+2028 and U+2029 break lines in some terminals.
            '\u{2028}' | '\u{2029}' => {}
            char if char.is_control() => {}
            char => text.push(char),
        }
    }
    if coloured {
        text.push_str("\u{1b}[0m");
    }
    text
}

/// What follows an ESC; whether a colour stayed.
fn escape(chars: &mut std::str::Chars<'_>, colour: Colour, text: &mut String) -> bool {
    match chars.next() {
        Some('[') => return control(chars, colour, text),
        Some(']' | 'P' | 'X' | '^' | '_') => string(chars),
        // Intermediate bytes, then one more: the choice of a character set, for example.
        Some(' '..='/') => while chars.next().is_some_and(|char| matches!(char, ' '..='/')) {},
        Some(_) | None => {}
    }
    false
}

/// A control sequence (ECMA-48, 5.4): parameters, a final byte; whether it was a colour, and stayed.
fn control(chars: &mut std::str::Chars<'_>, colour: Colour, text: &mut String) -> bool {
    let rest = chars.as_str();
    let length = rest.find(|char: char| !matches!(char, ' '..='?')).unwrap_or(rest.len());
    let (parameters, after) = rest.split_at(length);
    *chars = after.chars();
    let Some(last @ '@'..='~') = after.chars().next() else { return false };
    chars.next();
    let plain = parameters.chars().all(|char| matches!(char, '0'..='9' | ';' | ':'));
    let stays = last == 'm' && plain && colour == Colour::Keep;
    if stays {
        text.push_str("\u{1b}[");
        text.push_str(parameters);
        text.push('m');
    }
    stays
}

/// A string that is meant for the terminal (a title, a link), up to its end: BEL, ST, or the line's.
fn string(chars: &mut std::str::Chars<'_>) {
    while let Some(char) = chars.next() {
        match char {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' if chars.as_str().starts_with('\\') => {
                chars.next();
                return;
            }
            _ => {}
        }
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
            assert_eq!(clean(line, Colour::Keep), kept, "{line:?}");
            assert_eq!(clean(line, Colour::Drop), dropped, "{line:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_control_character_is_left(line in "[\u{1b}\u{9b}\\[\\]P;0-9mHa\\\\\u{7}\r\u{90}-\u{9f} ]{0,40}") {
            let text = clean(&line, Colour::Drop);
            prop_assert!(!text.chars().any(char::is_control), "{:?}", text);
            // With colours: the same, and each ESC starts a colour.
            let coloured = clean(&line, Colour::Keep);
            prop_assert_eq!(clean(&coloured, Colour::Drop), text);
        }
    }
}
