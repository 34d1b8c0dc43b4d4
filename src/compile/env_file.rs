//! `--env-file`: `NAME=value` lines, read as Go's godotenv reads them.
//!
//! `export` may precede a name. A line that begins with `#` is a comment; in a value without quotes the last `#` after a blank
//! starts one, but not the value's first character. Single quotes keep everything, double quotes know `\n`, `\r` and `\"`; `$NAME` and `${NAME}` outside of single quotes are replaced by
//! earlier lines of the same file.

use std::collections::BTreeMap;

use crate::manifest::{Diagnostic, Position, Source};

/// The variables of a file.
///
/// # Errors
/// The first line that is not an assignment, or whose quotes do not end.
pub fn parse(source: &Source) -> Result<BTreeMap<String, String>, Diagnostic> {
    let text = source.text.replace("\r\n", "\n");
    let mut variables = BTreeMap::new();
    let mut rest = text.as_str();
    loop {
        rest = skip_blank(rest);
        if rest.is_empty() {
            return Ok(variables);
        }
        let fault = |message: &str| source.diagnostic(position(&text, rest), message);
        let (name, after) = name(rest).ok_or_else(|| fault("expected `NAME=value`"))?;
        let (value, after) =
            value(after, &variables).ok_or_else(|| fault("the quotes of this value do not end"))?;
        variables.insert(name.to_owned(), value);
        rest = after;
    }
}

/// Past blank lines and comments.
fn skip_blank(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        if !text.starts_with('#') {
            return text;
        }
        text = text.split_once('\n').map_or("", |(_, rest)| rest);
    }
}

fn position(text: &str, rest: &str) -> Position {
    let before = &text[..text.len() - rest.len()];
    let line = u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX);
    Position { line, column: 1 }
}

/// The name before `=` or `:`, and the text after that.
fn name(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix("export ").map_or(text, str::trim_start);
    let end = text.find(['=', ':', '\n'])?;
    let (name, rest) = text.split_at(end);
    let name = name.trim_end();
    let valid = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
    let value = rest.strip_prefix(['=', ':'])?;
    valid.then_some((name, value))
}

/// Blanks that end no line, as godotenv knows them.
const BLANKS: [char; 7] = [' ', '\t', '\u{b}', '\u{c}', '\r', '\u{85}', '\u{a0}'];

fn value<'t>(text: &'t str, known: &BTreeMap<String, String>) -> Option<(String, &'t str)> {
    let text = text.trim_start_matches(BLANKS);
    match text.chars().next() {
        Some(quote @ ('\'' | '"')) => {
            let end = closing(&text[1..], quote)? + 1;
            let inside = &text[1..end];
            let value = if quote == '\'' { inside.to_owned() } else { expand(&unescape(inside), known) };
            // A comment or the next assignment follows.
            Some((value, &text[end + 1..]))
        }
        _ => {
            let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
            let end = line.rmatch_indices('#').map(|(at, _)| at).find(|&at| line[..at].ends_with(BLANKS));
            Some((expand(line[..end.unwrap_or(line.len())].trim(), known), rest))
        }
    }
}

/// The position of the closing quote: the first without a backslash before it.
fn closing(text: &str, quote: char) -> Option<usize> {
    text.match_indices(quote).map(|(at, _)| at).find(|&at| !text[..at].ends_with('\\'))
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, false) => out.push(c),
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                // An escaped dollar stays escaped for the expansion.
                Some('$') => out.push_str("\\$"),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
        }
    }
    out
}

fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('\\') {
            out.push_str(before);
            out.push('$');
            rest = &after[1..];
            continue;
        }
        out.push_str(before);
        let inside = &after[1..];
        let braced = inside.strip_prefix('{');
        let body = braced.unwrap_or(inside);
        let end = body
            .find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_')
            .unwrap_or(body.len());
        let closed = braced.is_none() || body[end..].starts_with('}');
        if end == 0 || !closed {
            out.push('$');
            rest = inside;
            continue;
        }
        out.push_str(known.get(&body[..end]).map_or("", String::as_str));
        rest = &body[end + usize::from(braced.is_some())..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn lines_are_read_as_godotenv_reads_them() {
        for (text, wanted) in [
            ("A=1", vec![("A", "1")]),
            ("A=1\nB=2\n", vec![("A", "1"), ("B", "2")]),
            ("A=1\r\nB=2\r\n", vec![("A", "1"), ("B", "2")]),
            ("export A=1", vec![("A", "1")]),
            ("A: 1", vec![("A", "1")]),
            ("A = 1 ", vec![("A", "1")]),
            ("# c\n\nA=1 # c", vec![("A", "1")]),
            ("A=a#b", vec![("A", "a#b")]),
            ("A=", vec![("A", "")]),
            ("A= #x", vec![("A", "#x")]),
            ("A=#", vec![("A", "#")]),
            ("A=##y", vec![("A", "##y")]),
            ("export A=#z", vec![("A", "#z")]),
            ("A:\t#x", vec![("A", "#x")]),
            ("A=\"#q\"", vec![("A", "#q")]),
            ("A= x #c", vec![("A", "x")]),
            ("A=#x #y", vec![("A", "#x")]),
            ("A=x # a # b", vec![("A", "x # a")]),
            ("A=x#a #b", vec![("A", "x#a")]),
            ("A=x\t#b", vec![("A", "x")]),
            ("A=# a", vec![("A", "# a")]),
            ("A=\"x\"#y\nB='x' # y\nC=\"a # b\"", vec![("A", "x"), ("B", "x"), ("C", "a # b")]),
            ("A=\"x\" B=2", vec![("A", "x"), ("B", "2")]),
            ("A='x y' # c", vec![("A", "x y")]),
            ("A=\"x\\ny\"", vec![("A", "x\ny")]),
            ("A='x\\ny'", vec![("A", "x\\ny")]),
            ("A=\"say \\\"x\\\"\"", vec![("A", "say \"x\"")]),
            ("A=1\nB=$A-${A}", vec![("A", "1"), ("B", "1-1")]),
            ("A=1\nB='$A'", vec![("A", "1"), ("B", "$A")]),
            ("A=1\nB=\"\\$A\"", vec![("A", "1"), ("B", "$A")]),
            ("A=$NOPE", vec![("A", "")]),
            ("A=\"two\nlines\"\nB=1", vec![("A", "two\nlines"), ("B", "1")]),
            ("A=x=y", vec![("A", "x=y")]),
            ("A=1\nA=2", vec![("A", "2")]),
        ] {
            let source = Source::new(Path::new("env"), text);
            let wanted = wanted.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            assert_eq!(parse(&source), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn a_line_that_is_not_an_assignment_is_refused() {
        for (text, line) in
            [("A=1\nnonsense\n", 2), ("=1", 1), ("A=1\nB='x' y\n", 2), ("A=1\n\nB='x", 3), ("a b=1", 1)]
        {
            let source = Source::new(Path::new("env"), text);
            assert_eq!(parse(&source).map_err(|fault| fault.line), Err(line), "{text}");
        }
    }
}
