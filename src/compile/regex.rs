//! Go's regular expressions in Rust's: both are RE2's children, and differ in few words.
//!
//! Go: `\d`, `\w`, `\s` and `\b` are ASCII; `\Q…\E` quotes; `\123` is octal; a `{` that counts nothing is a brace, and `[`, `&&`,
//! `--` and `~~` inside of a class are themselves.
//!
//! Both take linear time, in a program that a few characters can make large. So all patterns of a file have one [`Budget`],
//! of which each is charged before it is compiled and before each search.

use std::{iter::Peekable, str::Chars};

use regex::{Captures, Regex};
use regex_syntax::hir::{Class, Hir, HirKind};

/// The most states that the patterns of a file may have together: they compile in a fraction of a second.
const STATES: u64 = 1 << 21;
/// A search costs this part of a state for each state and byte of text.
const SEARCH: u64 = 64;
/// Reading a pattern costs so many states for each byte.
const READING: u64 = 4;
/// A longer pattern is not even read.
const MOST_BYTES: usize = 16 << 10;

/// The rest of the budget for the patterns of a file.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: STATES }
    }
}

impl Budget {
    fn spend(&mut self, states: u64) -> Result<(), Fault> {
        let left = self.left.checked_sub(states);
        self.left = left.unwrap_or(0);
        left.map(drop).ok_or(Fault::TooMuch)
    }
}

/// The fault of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// In one line.
    Syntax(String),
    /// The budget is spent.
    TooMuch,
}

/// A pattern, and of how many states its program is at most.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    states: u64,
}

/// A pattern of Go's `regexp`.
///
/// # Errors
/// A malformed pattern; a pattern that exceeds the budget with those before it.
pub(crate) fn go(pattern: &str, budget: &mut Budget) -> Result<Pattern, Fault> {
    if pattern.len() > MOST_BYTES {
        return Err(Fault::TooMuch);
    }
    budget.spend(READING * pattern.len() as u64)?;
    let translated = translate(pattern);
    let hir = regex_syntax::parse(&translated).map_err(|error| syntax(&error.to_string()))?;
    let states = states(&hir);
    budget.spend(states)?;
    match Regex::new(&translated) {
        Ok(regex) => Ok(Pattern { regex, states }),
        Err(regex::Error::Syntax(text)) => Err(syntax(&text)),
        Err(regex::Error::CompiledTooBig(_)) => Err(Fault::TooMuch),
        Err(other) => Err(Fault::Syntax(other.to_string())),
    }
}

fn syntax(text: &str) -> Fault {
    Fault::Syntax(text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned())
}

/// An estimate of the states of the compiled program: a repetition counts once for each time, and a class once for each range.
fn states(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(Class::Unicode(class)) => class.ranges().len() as u64,
        HirKind::Class(Class::Bytes(class)) => class.ranges().len() as u64,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            states(&repetition.sub).saturating_add(1).saturating_mul(times.into())
        }
        HirKind::Capture(capture) => states(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(states).fold(parts.len() as u64, u64::saturating_add)
        }
    }
}

/// Go's `ReplaceAllString`, part by part. It stops when `put` returns false: a frequent match with a long replacement gives more
/// text than the memory holds.
///
/// # Errors
/// The searches exceed the budget.
pub(crate) fn replace_all(
    pattern: &Pattern,
    text: &str,
    template: &str,
    budget: &mut Budget,
    mut put: impl FnMut(&str) -> bool,
) -> Result<(), Fault> {
    let mut done = 0;
    let mut matches = pattern.regex.captures_iter(text);
    loop {
        // A search may read all of the remaining text, even for a short match.
        budget.spend(pattern.states.saturating_mul((text.len() - done) as u64) / SEARCH)?;
        let Some(found) = matches.next() else { break };
        let Some(whole) = found.get(0) else { continue };
        if !put(&text[done..whole.start()]) || !expand(&found, template, &mut put) {
            return Ok(());
        }
        done = whole.end();
    }
    put(&text[done..]);
    Ok(())
}

/// `$1`, `$name`, `${name}` and `$$` of a replacement; any other `$` is itself. Returns whether `put` takes more.
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

/// The longest name at the start of a text, in braces or not, and the rest.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let inside = braced.unwrap_or(text);
    let end = inside.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(inside.len());
    let (name, rest) = inside.split_at(end);
    let rest = if braced.is_some() { rest.strip_prefix('}')? } else { rest };
    (!name.is_empty()).then_some((name, rest))
}

/// The match of a group; empty without such a group.
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
                // A first bracket is literal.
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

/// Whether the text after a brace makes it a count: `3}`, `3,}`, `3,5}`.
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
    fn replacing_has_the_result_of_go() {
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
        let mut budget = Budget::default();
        let pattern = go(pattern, &mut budget).unwrap_or_else(|fault| panic!("{pattern}: {fault:?}"));
        let mut out = String::new();
        let put = |part: &str| {
            out.push_str(part);
            true
        };
        replace_all(&pattern, text, replacement, &mut budget, put).expect("it is little");
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
    fn replacing_ends_when_the_budget_is_spent() {
        let mut parts = 0;
        let mut budget = Budget::default();
        let pattern = go("", &mut budget).expect("valid");
        let wants_ten = |_: &str| {
            parts += 1;
            parts < 10
        };
        replace_all(&pattern, &"x".repeat(1000), "y", &mut budget, wants_ten).expect("it is little");
        assert_eq!(parts, 10);
    }

    #[test]
    fn a_pattern_that_go_refuses_is_refused() {
        for pattern in ["(", "[a", "a**b(", r"\1", "(?<=a)b", "(?!a)", "*a", r"\p{Nope}", "a\\"] {
            let fault = go(pattern, &mut Budget::default()).err();
            assert!(matches!(fault, Some(Fault::Syntax(_))), "{pattern}: {fault:?}");
        }
    }

    #[test]
    fn a_program_that_a_few_characters_make_large_is_not_compiled() {
        for (pattern, least) in [
            (r"(\pL{1,200}){1,4}x", 300_000),
            (r"(((x{100}){100}){100}){100}", 100_000_000),
            (r"(?i)[\pL\pN]{500}", 300_000),
            (r"x{0,1000}{0,1000}", 1_000_000),
        ] {
            let found = states(&regex_syntax::parse(pattern).expect("valid"));
            assert!(found >= least, "{pattern}: {found}");
        }
        assert_eq!(go("(((x{100}){100}){100}){100}", &mut Budget::default()).err(), Some(Fault::TooMuch));
        assert_eq!(go(&"x".repeat(MOST_BYTES + 1), &mut Budget::default()).err(), Some(Fault::TooMuch));
    }

    #[test]
    fn searches_count_against_the_budget() {
        let text = "a".repeat(1 << 20);
        for pattern in [r"(\pL{1,20}){1,4}x", "a*b|a", ""] {
            let mut budget = Budget::default();
            let pattern = go(pattern, &mut budget).expect("valid");
            assert_eq!(replace_all(&pattern, &text, "", &mut budget, |_| true), Err(Fault::TooMuch));
        }
    }
}
