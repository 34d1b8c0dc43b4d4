//! Go's regular expressions in Rust's: both are RE2's children, and differ in few words.
//!
//! Go: `\d`, `\w`, `\s` and `\b` are ASCII; `\Q…\E` quotes; `\123` is octal; a `{` that counts nothing is a brace, and `[`, `&&`,
//! `--` and `~~` inside of a class are themselves.

use std::{iter::Peekable, str::Chars};

use regex::{Captures, Regex};

/// A pattern of Go's `regexp`.
///
/// # Errors
/// What is wrong with it, in one line.
pub(crate) fn go(pattern: &str) -> Result<Regex, String> {
    Regex::new(&translate(pattern)).map_err(|error| match error {
        regex::Error::Syntax(text) => {
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
        other => other.to_string(),
    })
}

/// Go's `ReplaceAllString`, part by part, for as long as the receiver wants more: a pattern that matches often and a long
/// replacement make more than any memory holds.
pub(crate) fn replace_all(pattern: &Regex, text: &str, template: &str, mut put: impl FnMut(&str) -> bool) {
    let mut done = 0;
    for found in pattern.captures_iter(text) {
        let Some(whole) = found.get(0) else { continue };
        if !put(&text[done..whole.start()]) || !expand(&found, template, &mut put) {
            return;
        }
        done = whole.end();
    }
    put(&text[done..]);
}

/// `$1`, `$name`, `${name}` and `$$` of a replacement; any other `$` is itself. Whether more is wanted.
fn expand(found: &Captures<'_>, mut template: &str, put: &mut impl FnMut(&str) -> bool) -> bool {
    while let Some((before, after)) = template.split_once('$') {
        let (part, rest) = match (after.strip_prefix('$'), group_name(after)) {
            (Some(rest), _) => ("$", rest),
            (None, Some((name, rest))) => (group(found, name), rest),
            (None, None) => ("$", after),
        };
        if !put(before) || !put(part) {
            return false;
        }
        template = rest;
    }
    put(template)
}

/// The longest name at the start of a text, in braces or not, and what follows it.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let inside = braced.unwrap_or(text);
    let end = inside.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(inside.len());
    let (name, rest) = inside.split_at(end);
    let rest = if braced.is_some() { rest.strip_prefix('}')? } else { rest };
    (!name.is_empty()).then_some((name, rest))
}

/// What a group has matched; nothing where there is no such group.
fn group<'t>(found: &Captures<'t>, name: &str) -> &'t str {
    let numbered = name == "0" || !name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit());
    let group =
        if numbered { name.parse().ok().and_then(|number| found.get(number)) } else { found.name(name) };
    group.map_or("", |group| group.as_str())
}

fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let mut class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => escape(&mut chars, class, &mut out),
            '[' if class && chars.peek() == Some(&':') => {
                // A named class such as [:alpha:]: copied up to its end.
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '[' if class => out.push_str("\\["),
            '[' => {
                class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A bracket that comes first is itself.
                if chars.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            ']' if class => {
                class = false;
                out.push(']');
            }
            '&' | '~' if class => out.extend(['\\', c]),
            '-' if class && chars.peek() == Some(&'-') => out.push_str("\\-"),
            '{' if !class && !counts(&chars) => out.push_str("\\{"),
            c => out.push(c),
        }
    }
    out
}

/// Whether what follows a brace makes it a count: `3}`, `3,}`, `3,5}`.
fn counts(after: &Peekable<Chars<'_>>) -> bool {
    let inside: String = after.clone().take_while(|&c| c != '}').take(12).collect();
    let closed = after.clone().nth(inside.chars().count()) == Some('}');
    let (low, high) = inside.split_once(',').unwrap_or((&inside, ""));
    let number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    closed && !low.is_empty() && number(low) && number(high)
}

fn escape(chars: &mut Peekable<Chars<'_>>, class: bool, out: &mut String) {
    let Some(c) = chars.next() else {
        out.push('\\');
        return;
    };
    let word = match (c, class) {
        ('d', false) => "[0-9]",
        ('d', true) => "0-9",
        ('D', _) => "[^0-9]",
        ('w', false) => "[0-9A-Za-z_]",
        ('w', true) => "0-9A-Za-z_",
        ('W', _) => "[^0-9A-Za-z_]",
        ('s', false) => "[\\t\\n\\x0C\\r ]",
        ('s', true) => "\\t\\n\\x0C\\r ",
        ('S', _) => "[^\\t\\n\\x0C\\r ]",
        ('b', false) => "(?-u:\\b)",
        _ => "",
    };
    match c {
        _ if !word.is_empty() => out.push_str(word),
        'Q' => quoted(chars, out),
        '0'..='7' => octal(c, chars, out),
        '<' | '>' => out.push(c),
        c => out.extend(['\\', c]),
    }
}

fn quoted(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next_if_eq(&'E').is_some() {
            break;
        }
        text.push(c);
    }
    out.push_str(&regex::escape(&text));
}

/// `\0`, `\12`, `\123`; a single digit other than 0 would be a back-reference, which neither has: it stays and is refused.
fn octal(first: char, chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut digits = String::from(first);
    while digits.len() < 3
        && let Some(digit) = chars.next_if(|c| ('0'..='7').contains(c))
    {
        digits.push(digit);
    }
    match u32::from_str_radix(&digits, 8) {
        Ok(code) if digits.len() > 1 || first == '0' => out.push_str(&format!("\\x{{{code:X}}}")),
        _ => out.extend(['\\', first]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_gives_what_go_gives() {
        for (text, pattern, replacement, wanted) in [
            ("1.2.3", r"\.", "-", "1-2-3"),
            ("1.2.3", r"^(\d+)\.(\d+)\.(\d+)$", "$1.$2", "1.2"),
            ("1.2.3", r"^(\d+)\.(\d+).*", "${1}_$2", "1_2"),
            ("1.2.3", r"^(\d+)\.(\d+).*", "$1_$2", "2"),
            ("1.2.3", r"(?P<major>\d+)\..*", "v$major", "v1"),
            ("1.2.3", r"(?P<major>\d+)\..*", "$$$major", "$1"),
            ("1.2.3", r".*", "", ""),
            ("abc", r"(z)?b", "[$1]", "a[]c"),
            ("abc", r"b", "$0$0", "abbc"),
            ("abc", r"b", "$9", "ac"),
            ("1.2.3_rc1", r"_rc", "-rc.", "1.2.3-rc.1"),
            ("1.2.3", r"\.(\d+)$", "+$1", "1.2+3"),
            ("a{b", r"a{b", "x", "x"),
            ("aaa", r"a{2}", "x", "xa"),
            ("aaaa", r"a{2,}", "x", "x"),
            ("a[b", r"[[]", "x", "axb"),
            ("a]b", r"[]]", "x", "axb"),
            ("a&&b", r"[&&]", "x", "axxb"),
            ("a-~b", r"[~-]", "x", "axxb"),
            ("aXb", r"[[:upper:]]", "-", "a-b"),
            ("a.b", r"\Qa.b\E", "x", "x"),
            ("axb", r"\Qa.b\E", "y", "axb"),
            ("a b", r"\x20", "_", "a_b"),
            ("a b", r"\040", "_", "a_b"),
            ("٣3", r"\d", "x", "٣x"),
            ("éa", r"\w", "x", "éx"),
            ("é", r"\W", "x", "x"),
            ("1_2", r"[\d_]+", "x", "x"),
            ("Hello", r"(?i)hello", "x", "x"),
            ("a\nb", r"(?m)^b$", "x", "a\nx"),
            ("1.10.0", r"(\d+)\.(\d+)\.0+$", "$1.$2", "1.10"),
            ("20240101", r"^(\d{4})(\d{2})(\d{2})$", "$1-$2-$3", "2024-01-01"),
        ] {
            assert_eq!(replaced(text, pattern, replacement), wanted, "{pattern} on {text}");
        }
    }

    fn replaced(text: &str, pattern: &str, replacement: &str) -> String {
        let pattern = go(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        let mut out = String::new();
        replace_all(&pattern, text, replacement, |part| {
            out.push_str(part);
            true
        });
        out
    }

    #[test]
    fn a_replacement_is_read_as_go_reads_it() {
        for (replacement, wanted) in [
            ("$1", "b"),
            ("${1}x", "bx"),
            ("$1x", ""),
            ("$01", ""),
            ("$0", "abc"),
            ("$name", "c"),
            ("${name}", "c"),
            ("$names", ""),
            ("$é", ""),
            ("$$1", "$1"),
            ("$", "$"),
            ("a$-b", "a$-b"),
            ("${", "${"),
            ("${}", "${}"),
            ("${1", "${1"),
            ("${a-b}", "${a-b}"),
            ("${{vars.x}}", "${{vars.x}}"),
            ("$2$9", "c"),
            ("$99999999999999999999", ""),
        ] {
            assert_eq!(replaced("abc", "a(b)(?P<name>c)", replacement), wanted, "{replacement}");
        }
    }

    #[test]
    fn replacing_ends_when_nobody_wants_more() {
        let mut parts = 0;
        replace_all(&go("").expect("valid"), &"x".repeat(1000), "y", |_| {
            parts += 1;
            parts < 10
        });
        assert_eq!(parts, 10);
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for pattern in ["(", "[a", "a**b(", r"\1", "(?<=a)b", "(?!a)", "*a", r"\p{Nope}", "a\\"] {
            assert!(go(pattern).is_err(), "{pattern}");
        }
    }
}
