//! Checks the syntax of scripts before a guest starts.
//!
//! melange parses scripts as bash and refuses others. A parser may be wrong about a rare construct: a script that it rejects
//! and a real bash accepts (the caller runs it, through [`SecondOpinion`]) is a warning.

use std::{io::Cursor, panic, sync::Arc};

use brush_parser::{ParseError, Parser, ParserOptions, SourcePosition, TokenizerError};

use super::{
    faults::{self, Faults},
    source::Definition,
};
use crate::manifest::{Diagnostic, Source, Text};

/// A script and its file.
pub(crate) struct Fragment {
    pub(crate) text: Text,
    pub(crate) source: Source,
    /// For a script of a definition: that, and the script with one word for each input that is a plain word.
    pub(crate) shape: Option<(Arc<Definition>, String)>,
}

/// Words that are syntax where a command starts.
const RESERVED: [&str; 17] = [
    "if", "then", "elif", "else", "fi", "for", "in", "do", "done", "while", "until", "case", "esac",
    "select", "function", "time", "coproc",
];

/// Whether a script has only plain words, without syntax to check.
fn is_plain(script: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:+,@%-=*?~ \n".contains(&byte);
    script.bytes().all(plain) && !script.split([' ', '\n']).any(|word| RESERVED.contains(&word))
}

/// The text for an input in the shape of a script: `x` for a plain word, which does not change the syntax around it; else the
/// input itself.
pub(crate) fn shape_of(value: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:+,@%-".contains(&byte);
    if !value.is_empty() && value.bytes().all(plain) && !RESERVED.contains(&value) { "x" } else { value }
}

/// A real shell that checks a script.
pub trait SecondOpinion: Sync {
    /// Whether the shell accepts it; `None` without such a shell.
    fn accepts(&self, script: &str) -> Option<bool>;
}

/// No shell.
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
        // A real shell can parse any depth. Without one, the shell of the guest finds the fault.
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
        // bash ignores NUL characters in a script from a pipe, and an argument cannot have one.
        if !fragment.text.contains('\0') && opinion.accepts(&fragment.text) == Some(true) {
            faults.warn(fault.hint("bash accepts it: it will run as written"));
        } else {
            faults.push(fault);
        }
    }
}

/// A syntax error: line and column from 0, in characters.
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
    // The parser panics in some states (two documents of one name inside of `${…}`).
    match panic::catch_unwind(whole) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(explain(&error, script)),
        Err(_) => Err(SyntaxError { place: None, message: "the parser cannot make anything of it".into() }),
    }
}

/// The parser recurses, so that a hostile script could exhaust the stack; no real script nests this deep.
const MAX_NESTING: usize = 60;

/// The parser backtracks at a subshell and at a `case`, and parses their content again: its time doubles with each level.
const MAX_BRANCHING: usize = 10;

/// Whether the parser ends soon and within its stack: the script has few brackets and compound commands. Closing ones are not
/// subtracted, since in quotes, comments and documents they close no block.
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
                // `$(` is a word, and `()` a function.
                branches += usize::from(before.last() != Some(&b'$') && bytes.get(at + 1) != Some(&b')'));
            }
            b'{' => opened += usize::from(before.last() != Some(&b'$') || !is_variable(&bytes[at + 1..])),
            _ => {}
        }
    }
    opened < MAX_NESTING && branches < MAX_BRANCHING
}

/// Whether this is the rest of `${name}`, which has no nested text.
fn is_variable(rest: &[u8]) -> bool {
    let name = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    rest.get(name) == Some(&b'}')
}

/// Whether a character after these is escaped: an odd number of backslashes precedes it, in quotes or not.
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

/// The message of a tokenizer's error without its place, which counts the script's lines, not the file's; and the place of the
/// start, if the parser has it.
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
    fn a_script_that_the_parser_would_not_finish_is_not_parsed() {
        for open in [
            // These exhaust the stack.
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
            // These take twice as long with each level.
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
    fn real_scripts_are_within_the_bounds() {
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
    fn a_long_script_is_not_a_deep_one() {
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
            // Any result, as long as it returns.
            if is_bounded(&script) {
                drop(parse(&script));
            }
        }
        let chain = format!("if a; then b; {} fi", "elif b; then c; ".repeat(5000));
        assert!(is_bounded(&chain));
        assert_eq!(parse(&chain), Ok(()));
    }

    #[test]
    fn plain_words_have_no_syntax() {
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
    fn a_script_that_makes_the_parser_panic_is_refused() {
        // Found by a generated case.
        assert!(parse("${{<<E\n}<<E\nE\n").is_err());
    }

    #[test]
    fn plain_words_have_one_shape() {
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
    fn an_incomplete_script_is_refused() {
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
