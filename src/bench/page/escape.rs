//! Text in HTML. Every text of a page goes through here.

/// The text with all characters escaped that HTML gives a meaning to, in elements and in attributes. Characters that control a
/// terminal or the direction of text become U+FFFD: a page must look as its source reads.
pub(super) fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                escaped.push(char::REPLACEMENT_CHARACTER);
            }
            char if char.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_its_place() {
        for (plain, escaped) in [
            ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
            ("\"' onload='x", "&quot;&#39; onload=&#39;x"),
            ("é µ 漢", "é µ 漢"),
            ("a\u{202e}b\u{1b}[2J\n", "a\u{fffd}b\u{fffd}[2J\u{fffd}"),
        ] {
            assert_eq!(text(plain), escaped);
        }
    }
}
