//! Whether a script is one: its syntax, before any guest starts.
//!
//! melange parses scripts as bash and refuses what it cannot. A parser may be wrong about a rare construct: what it rejects and
//! a real bash accepts (the caller asks it, through [`SecondOpinion`]) is a warning.

use std::{io::Cursor, panic, sync::Arc};

use brush_parser::{ParseError, Parser, ParserOptions, SourcePosition, TokenizerError};

use super::{
    faults::{self, Faults},
    source::Definition,
};
use crate::manifest::{Diagnostic, Source, Text};

/// A script and the file it stands in.
pub(crate) struct Fragment {
    pub(crate) text: Text,
    pub(crate) source: Source,
    /// For one out of a definition: that, and the script with a word for every input that is one.
    pub(crate) shape: Option<(Arc<Definition>, String)>,
}

/// Words that are syntax where a command starts.
const RESERVED: [&str; 17] = [
    "if", "then", "elif", "else", "fi", "for", "in", "do", "done", "while", "until", "case", "esac",
    "select", "function", "time", "coproc",
];

/// Whether a script is plain words and nothing else: no syntax, nothing to parse.
fn is_plain(script: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:+,@%-=*?~ \n".contains(&byte);
    script.bytes().all(plain) && !script.split([' ', '\n']).any(|word| RESERVED.contains(&word))
}

/// What stands for an input in the shape of a script: `x` for a plain word, which changes nothing about the syntax around it;
/// else the input itself.
pub(crate) fn shape_of(value: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:+,@%-".contains(&byte);
    if !value.is_empty() && value.bytes().all(plain) && !RESERVED.contains(&value) { "x" } else { value }
}

/// What a real shell says about a script.
pub trait SecondOpinion: Sync {
    /// Whether it is a script; `None` where there is no such shell.
    fn accepts(&self, script: &str) -> Option<bool>;
}

/// Nobody to ask.
impl SecondOpinion for () {
    fn accepts(&self, _: &str) -> Option<bool> {
        None
    }
}

/// Checks scripts; the same text once only.
pub(crate) fn check(fragments: &[Fragment], opinion: &dyn SecondOpinion, faults: &mut Faults) {
    let mut seen = std::collections::HashSet::with_capacity(fragments.len());
    for fragment in fragments {
        let known = fragment.shape.as_ref().is_some_and(|(definition, shape)| definition.sound.knows(shape));
        if known || !seen.insert(fragment.text.as_str()) {
            continue;
        }
        let asked = || opinion.accepts(&fragment.text);
        // A real shell has no trouble with depth. Where there is none, the guest's says what is wrong.
        let checked = match is_bounded(&fragment.text) || fragment.text.contains('\0') {
            true => parse(&fragment.text),
            false if asked() == Some(false) => {
                Err(SyntaxError { place: None, message: "bash refuses it".into() })
            }
            false => Ok(()),
        };
        let Err(error) = checked else {
            if let Some((definition, shape)) = &fragment.shape {
                definition.sound.remember(shape);
            }
            continue;
        };
        let fault = diagnostic(fragment, &error);
        // bash leaves NUL characters out of what it reads from a pipe, and takes no argument that has one.
        if !fragment.text.contains('\0') && opinion.accepts(&fragment.text) == Some(true) {
            faults.warn(fault.hint("bash accepts it: it will run as written"));
        } else {
            faults.push(fault);
        }
    }
}

/// Where and why a script is none: line and column from 0, in characters.
#[derive(Debug, PartialEq, Eq)]
struct SyntaxError {
    place: Option<(usize, usize)>,
    message: String,
}

fn parse(script: &str) -> Result<(), SyntaxError> {
    if is_plain(script) {
        return Ok(());
    }
    if let Some(at) = script.find('\0') {
        let line = script[..at].matches('\n').count();
        let message = "it holds a NUL character, which no shell reads".into();
        return Err(SyntaxError { place: Some((line, 0)), message });
    }
    let whole =
        || Parser::new(Cursor::new(script.as_bytes()), &ParserOptions::default()).parse_program().map(drop);
    // The parser has states that it takes for impossible (two documents of one name inside of `${…}`): then it has no opinion.
    match panic::catch_unwind(whole) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(explain(&error, script)),
        Err(_) => Err(SyntaxError { place: None, message: "the parser cannot make anything of it".into() }),
    }
}

/// The parser recurses, so that a hostile script could exhaust the stack; nobody nests this deep.
const MAX_NESTING: usize = 60;

/// The parser tries more than one way at a subshell and at a `case`, and all that is in it again for each: its time doubles with
/// each level.
const MAX_BRANCHING: usize = 10;

/// Whether the parser has an end within its stack and a moment: brackets and compound commands are few in all. What closes
/// them is not counted: in quotes, comments and documents it closes nothing.
fn is_bounded(script: &str) -> bool {
    let bytes = script.as_bytes();
    let (mut opened, mut branches, mut word) = (0_usize, 0_usize, 0);
    for (at, byte) in script.bytes().chain([b'\n']).enumerate() {
        if byte.is_ascii_alphanumeric() {
            continue;
        }
        match &bytes[word..at] {
            b"if" | b"while" | b"until" | b"for" | b"select" | b"function" => opened += 1,
            b"case" => (opened, branches) = (opened + 1, branches + 1),
            _ => {}
        }
        word = at + 1;
        let before = &bytes[..at.min(bytes.len())];
        match byte {
            b'(' | b'{' if is_escaped(before) => {}
            b'(' => {
                opened += 1;
                // What follows a `$` is a word, and what has nothing in it a function.
                branches += usize::from(before.last() != Some(&b'$') && bytes.get(at + 1) != Some(&b')'));
            }
            b'{' => opened += usize::from(before.last() != Some(&b'$') || !is_variable(&bytes[at + 1..])),
            _ => {}
        }
    }
    opened < MAX_NESTING && branches < MAX_BRANCHING
}

/// Whether this is the rest of `${name}`, which holds nothing.
fn is_variable(rest: &[u8]) -> bool {
    let name = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    rest.get(name) == Some(&b'}')
}

/// Whether a character is itself after these: behind an odd number of backslashes it is, in quotes or not.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

fn explain(error: &ParseError, script: &str) -> SyntaxError {
    let (message, place) = match error {
        ParseError::ParsingNear(position) => ("syntax error".into(), Some(place(position))),
        ParseError::ParsingAtEndOfInput => {
            ("it ends in the middle of a command".into(), Some(last_line(script)))
        }
        ParseError::Tokenizing { inner, position } => {
            let (message, start) = unreadable(inner);
            (message, start.or(position.as_ref()).map(place))
        }
    };
    SyntaxError { place, message }
}

/// What the parser cannot read, without the places in its own words: those count the script's lines, not the file's. The place
/// is where it begins, if the parser knows.
fn unreadable(error: &TokenizerError) -> (String, Option<&SourcePosition>) {
    use TokenizerError as Error;
    match error {
        Error::UnterminatedSingleQuote(start) => ("unterminated single quote".into(), Some(start)),
        Error::UnterminatedAnsiCQuote(start) => ("unterminated ANSI C quote".into(), Some(start)),
        Error::UnterminatedDoubleQuote(start) => ("unterminated double quote".into(), Some(start)),
        Error::UnterminatedBackquote(start) => ("unterminated backquote".into(), Some(start)),
        Error::UnterminatedExtendedGlob(_) => ("unterminated extended pattern".into(), None),
        Error::UnterminatedHereDocuments(tags, _) => (format!("unterminated here-document ({tags})"), None),
        other => (other.to_string(), None),
    }
}

/// From 0.
fn place(position: &SourcePosition) -> (usize, usize) {
    (position.line.saturating_sub(1), position.column.saturating_sub(1))
}

/// Where the last line that holds something begins.
fn last_line(script: &str) -> (usize, usize) {
    let (at, line) = script.trim_end().lines().enumerate().last().unwrap_or_default();
    (at, line.chars().take_while(|c| c.is_whitespace()).count())
}

fn diagnostic(fragment: &Fragment, error: &SyntaxError) -> Diagnostic {
    let at = match error.place {
        Some((line, column)) => faults::find_line(&fragment.source, &fragment.text, line, column),
        None => fragment.text.position,
    };
    fragment.source.diagnostic(at, format!("not a shell script: {}", error.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_the_parser_would_not_come_back_from_is_not_given_to_it() {
        for open in [
            // What exhausts the stack.
            "(",
            "$(",
            "${x:-",
            "{ ",
            "if ",
            "while ",
            "case x in y) ",
            "\"$(",
            "f() ",
            "function f ",
            "{ \"}\"\n",
            "if \"fi\"; ",
            "{ # }\n",
            "( \")\" ",
            "{ <<E\n}\nE\n",
            "f() { '}'\n",
        ] {
            assert!(!is_bounded(&open.repeat(20_000)), "{open}");
        }
        for open in [
            // What takes twice as long with each level.
            "(",
            "( ",
            "((",
            "case x in y) ",
            "( case x in y) ",
            "( \")\" ",
            "case x in \"esac\") ",
            "f() ( ",
            "if ( ",
            "\\\\(",
        ] {
            assert!(!is_bounded(&open.repeat(MAX_BRANCHING)), "{open}");
        }
    }

    #[test]
    fn what_people_write_is_bounded() {
        for script in [
            "f() { local x=$1; return 0; }; f; ".repeat(20),
            "x=$(a)\n".repeat(40),
            "sed -E 's/\\(a\\)\\(b\\)/x/' f; ${x:-y}${z}\n".repeat(50),
            "if a; then b; fi\n".repeat(50),
            "case x in a|b) c;; esac\n".repeat(9),
        ] {
            assert!(is_bounded(&script), "{script}");
            drop(parse(&script));
        }
    }

    #[test]
    fn a_long_script_is_no_deep_one() {
        for part in [
            "a && ",
            "a | ",
            "a; ",
            "a\n",
            "! ",
            "time ",
            "a=b ",
            "a ",
            "<a ",
            "elif b; then c; ",
            "${a",
            "`",
            "\\",
            "[[ a ",
            "\"a\" ",
            "a || b && ",
            "<<A ",
            "& ",
            "a) b;; ",
            "if a; then b; fi\n",
            "x=$(a)\n",
            "else ",
        ] {
            let script = part.repeat(5000);
            // What it says does not matter: that it comes back does.
            if is_bounded(&script) {
                drop(parse(&script));
            }
        }
        let chain = format!("if a; then b; {} fi", "elif b; then c; ".repeat(5000));
        assert!(is_bounded(&chain));
        assert_eq!(parse(&chain), Ok(()));
    }

    #[test]
    fn plain_words_are_no_syntax() {
        for (script, plain) in [
            ("make -j4 V=1\nmv usr/lib/*.a /x\n", true),
            ("", true),
            ("echo done\n", false),
            ("done", false),
            ("a; b", false),
            ("echo $x", false),
            ("echo 'a", false),
            ("a &", false),
        ] {
            assert_eq!(is_plain(script), plain, "{script}");
        }
    }

    #[test]
    fn a_script_that_the_parser_panics_at_is_none() {
        // Found by a generated case.
        assert!(parse("${{<<E\n}<<E\nE\n").is_err());
    }

    #[test]
    fn words_that_change_nothing_about_the_syntax_have_one_shape() {
        for (value, shape) in [
            ("a", "x"),
            ("1.2.3", "x"),
            ("/usr/lib", "x"),
            ("", ""),
            ("a b", "a b"),
            ("$(x)", "$(x)"),
            ("done", "done"),
        ] {
            assert_eq!(shape_of(value), shape, "{value}");
        }
    }

    #[test]
    fn a_script_that_is_not_complete_is_none() {
        for script in [
            "true &&\n",
            "true |\n",
            "if true; then\n",
            "while true; do a\n",
            "case a in\n",
            "for a in b\n",
            "f() {\n",
            "(a\n",
            "echo $(a\n",
            "echo `a\n",
            "echo ${a\n",
            "echo $((1\n",
            "echo 'a\n",
            "echo \"a\n",
            "[[ a\n",
            "cat <<E\ntext\n",
            "cat <<E\n",
            "cat <<E",
            "cat <<'E'\ntext\nE \n",
            "cat <<-E\n  text\n  E\n",
            "cat <<A <<B\na\nA\nb\n",
            "cat <<E\ntext\nE\r\n",
            "cat <<:\ntext\n",
            "a\0b",
        ] {
            assert!(parse(script).is_err(), "{script}");
        }
    }

    #[test]
    fn scripts_that_bash_accepts_are_accepted() {
        for script in [
            "[[ $a == b* && -n $c ]] || exit 1",
            "for f in *.{a,b}; do echo \"${f%.a}\"; done",
            "cat <<'EOF' | sed s/a/b/\n$x `\nEOF\necho",
            "arr=(a b); echo \"${arr[@]}\"",
            "f() { local x=$1; return 0; }; f",
            "case $x in a|b) echo;; *) ;; esac",
            "diff <(a) <(b) 2>&1 >/dev/null",
            "(( i++ )); x=$(( 1 + 2 ))",
            "a && b || { c; d; }",
            "while read -r l; do echo \"$l\"; done < <(ls)",
            "#!/bin/bash\n# nothing\n",
            "x=${y//a/b} z=${w:-$(date)} cmd",
            "if ! grep -q x f; then :; elif true; then :; else :; fi",
            "echo a\\\n b",
            "echo a \\\n",
            "cat <<E\ntext\nE",
        ] {
            assert_eq!(parse(script), Ok(()), "{script}");
        }
    }
}
