//! How a string is written: the rules of Go's yaml.v3 (`yaml_emitter_analyze_scalar` and `resolve`).

/// The style of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// As it is.
    Plain,
    /// Between `'`.
    Single,
    /// Between `"`, with escapes.
    Double,
    /// As lines behind `|`; as [`Style::Double`] where that is not possible.
    Literal,
}

/// The style of a string.
pub(super) fn style(text: &str) -> Style {
    let found = Analysis::of(text);
    if text.contains('\n') {
        return if found.fits_block { Style::Literal } else { Style::Double };
    }
    if is_other_type(text) || !found.fits_quotes {
        return Style::Double;
    }
    if found.fits_plain { Style::Plain } else { Style::Single }
}

/// Whether YAML allows a character as it is, and yaml.v3 writes it so.
pub(super) fn is_printable(c: char) -> bool {
    matches!(c, '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && c != '\u{feff}'
}

struct Analysis {
    fits_plain: bool,
    fits_quotes: bool,
    fits_block: bool,
}

impl Analysis {
    fn of(text: &str) -> Self {
        let has_special = text.chars().any(|c| !is_printable(c) && c != '\t' && c != '\n');
        let fits_quotes = !has_special && !text.contains('\t');
        let has_outer_blank = text.starts_with(' ') || text.ends_with(' ');
        Self {
            fits_plain: fits_quotes && !has_outer_blank && !has_indicator(text),
            fits_quotes,
            fits_block: !has_special && !text.contains(" \n") && !text.ends_with(' '),
        }
    }
}

/// Whether a reader would take a part of the text for a sign of YAML.
fn has_indicator(text: &str) -> bool {
    let is_blank = |c: Option<char>| c.is_none_or(|c| c == ' ' || c == '\t');
    let mut rest = text.chars();
    let first = rest.next();
    let begins = match first {
        Some(
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`',
        ) => true,
        Some('?' | ':' | '-') => is_blank(rest.next()),
        _ => false,
    };
    // Behind a key, `: ` begins a value; behind a blank, `#` begins a comment.
    begins
        || text.starts_with("---")
        || text.starts_with("...")
        || text.contains(": ")
        || text.contains(":\t")
        || text.ends_with(':')
        || text.contains(" #")
        || text.contains("\t#")
}

/// Whether a reader would take the text, without quotes, for something that is not a string.
fn is_other_type(text: &str) -> bool {
    const WORDS: [&str; 35] = [
        "", "~", "null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE", "y", "Y", "yes",
        "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF", ".nan", ".NaN",
        ".NAN", ".inf", ".Inf", ".INF", "<<", "=",
    ];
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    WORDS.contains(&text)
        || [".inf", ".Inf", ".INF"].contains(&unsigned)
        || is_number(unsigned)
        || is_sexagesimal(unsigned)
        || is_date(text)
}

/// A whole number or a fraction; `text` has no sign.
fn is_number(text: &str) -> bool {
    if text.starts_with('_') {
        return false;
    }
    let digits = text.replace('_', "");
    let all = |text: &str, radix: u32| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    let prefixed = |signs: [&str; 2], radix| {
        signs.iter().any(|sign| digits.strip_prefix(sign).is_some_and(|rest| all(rest, radix)))
    };
    prefixed(["0x", "0X"], 16)
        || prefixed(["0o", "0O"], 8)
        || prefixed(["0b", "0B"], 2)
        || is_fraction(&digits)
}

/// `.5`, `1`, `1.`, `1.5`, each perhaps with an exponent.
fn is_fraction(digits: &str) -> bool {
    let all = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (number, exponent) = match digits.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (digits, None),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let has_digit = !whole.is_empty() || !part.is_empty();
    has_digit && all(whole) && all(part) && exponent.is_none_or(|text| !text.is_empty() && all(text))
}

/// A number of YAML 1.1 with the base 60, such as `1:30`; `text` has no sign.
fn is_sexagesimal(text: &str) -> bool {
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    let is_first = first.starts_with(|c: char| c.is_ascii_digit())
        && first.chars().all(|c| c.is_ascii_digit() || c == '_');
    let rest: Vec<&str> = parts.collect();
    let Some((last, middle)) = rest.split_last().filter(|_| is_first) else { return false };
    let is_pair = |part: &str| match part.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [tens, digit] => (b'0'..=b'5').contains(tens) && digit.is_ascii_digit(),
        _ => false,
    };
    let last = last.split_once('.').map_or(*last, |(whole, _)| whole);
    middle.iter().all(|part| is_pair(part)) && is_pair(last)
}

/// A date, perhaps with a time behind it: it has four digits and `-` first. Some texts that are none get quotes so, too.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let (year, month, day) = (parts.next(), parts.next(), parts.next());
    let is_number = |text: &str, most: usize| {
        !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let day = day.map(|rest| rest.split(['T', 't', ' ', '\t']).next().unwrap_or_default());
    let time = text.find(['T', 't', ' ', '\t']).and_then(|at| text.get(at + 1..)).unwrap_or_default();
    let is_time = time.is_empty() || time.chars().all(|c| c.is_ascii_digit() || " :.+-Zz".contains(c));
    year.is_some_and(|year| year.len() == 4 && is_number(year, 4))
        && month.is_some_and(|month| is_number(month, 2))
        && day.is_some_and(|day| is_number(day, 2))
        && is_time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_stand_where_a_reader_needs_them() {
        for (style_of, texts) in [
            (
                Style::Plain,
                &[
                    "a b",
                    "1.2.3",
                    "1.2_rc1",
                    "so:lib.so.1=1",
                    "a:b",
                    "a#b",
                    "-x",
                    "?x",
                    ":x",
                    "ß",
                    "a'b",
                    "a\"b",
                    "<none",
                    "x,y",
                    "0x",
                    "1-2-3",
                    "2024-01-02x",
                    "https://example.org/?a=b&c=\"d\"",
                    "a\u{a0}",
                    "1:99",
                    "_1",
                    "+",
                    "1e",
                    "v1",
                ][..],
            ),
            (
                Style::Single,
                &[
                    "*", "!a", "a: b", "a:", "# a", "a #", " a", "a ", "- a", "? a", "@", "'a'", "--- a",
                    "{a}",
                ],
            ),
            (
                Style::Double,
                &[
                    "",
                    "~",
                    "null",
                    "true",
                    "yes",
                    "N",
                    "1",
                    "0.1",
                    "-1",
                    "+.5",
                    "1_000",
                    "0x1F",
                    "0o7",
                    "0b1",
                    "1e3",
                    ".inf",
                    "-.inf",
                    "1:30",
                    "2026-01-31",
                    "2026-1-3 1:2:3",
                    "a\tb",
                    "a\rb",
                    "\u{0}",
                    "\u{1f600}",
                    "\u{feff}a",
                    "a\u{2028}b",
                    "<<",
                ],
            ),
            (Style::Literal, &["a\nb", "\n", "a\tb\n", " a\nb\n"]),
        ] {
            for text in texts {
                assert_eq!(style(text), style_of, "{text:?}");
            }
        }
    }
}
