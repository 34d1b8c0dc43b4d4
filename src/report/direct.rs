//! Output of commands that have no events: data on stdout, an error on stderr.

use std::{
    borrow::Cow,
    io::{ErrorKind, IsTerminal, Write, stderr, stdout},
};

use anyhow::{Context, Error, Result};

use super::sanitize::{Colour, is_shown, sanitize};
use crate::exit::{Code, Failure, way_out_of};

/// Prints data to stdout. A reader that has gone away (`kiln plan | head`) is no error.
///
/// Characters that control a terminal are escaped, since the text may come from a build file that is not trusted yet. In JSON,
/// where such characters are only in strings, the value stays the same.
///
/// # Errors
/// When stdout cannot be written.
pub fn print(text: &str) -> Result<Code> {
    let written = stdout().write_all(visible(text).as_bytes()).and_then(|()| stdout().flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("write to stdout"),
        Ok(()) | Err(_) => Ok(Code::Success),
    }
}

/// The text with escapes (`\u001b`) for all characters that move a cursor, set titles or reorder text.
fn visible(text: &str) -> Cow<'_, str> {
    let stays = |char: char| matches!(char, '\n' | '\t') || is_shown(char);
    if text.chars().all(stays) {
        return text.into();
    }
    let mut visible = String::with_capacity(text.len() + 64);
    for char in text.chars() {
        if stays(char) {
            visible.push(char);
        } else {
            // None of them needs more than four digits.
            visible += &format!("\\u{:04x}", u32::from(char));
        }
    }
    visible.into()
}

/// A value of a build file on one line.
pub fn one_line(value: &str) -> Cow<'_, str> {
    if value.contains('\n') { value.replace('\n', "\\n").into() } else { value.into() }
}

/// A name that may come from a guest, made safe for a line of a terminal.
pub fn name(name: &str) -> String {
    sanitize(&name.replace(['\r', '\n'], "\u{fffd}"), Colour::Drop)
}

/// stdout for binary data.
///
/// # Errors
/// A usage failure if it is a terminal.
pub fn data() -> Result<impl Write> {
    if stdout().is_terminal() {
        let what = "an archive cannot go to a terminal";
        return Err(Failure::usage(what, "name a file, or send the output elsewhere").into());
    }
    Ok(stdout().lock())
}

/// Prints lines for people to stderr.
pub fn to_stderr(text: &str) {
    let text: String = text.lines().map(|line| sanitize(line, Colour::Drop) + "\n").collect();
    // best effort: there is no other stream.
    let _ = stderr().write_all(text.as_bytes());
}

/// Prints an error and its way out to stderr.
pub fn error(error: &Error) {
    let way_out = way_out_of(error).map_or(String::new(), |text| format!("  {text}\n"));
    // Parts of it may come from a guest or a file.
    let text = format!("kiln: {error:#}\n{way_out}");
    let text: String = text.lines().map(|line| sanitize(line, Colour::Drop) + "\n").collect();
    // best effort: there is no other stream.
    let _ = stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_json_keeps_its_value() {
        for (text, shown) in [
            ("plain\ttext é\n", "plain\ttext é\n"),
            ("\u{1b}[2J\u{7}", "\\u001b[2J\\u0007"),
            ("a\rb\u{7f}\u{9b}2J", "a\\u000db\\u007f\\u009b2J"),
            ("\u{202e}x\u{2066}\u{2028}", "\\u202ex\\u2066\\u2028"),
        ] {
            assert_eq!(visible(text), shown);
        }
        let value = "\u{9b}2J \u{202e} \u{1b}]0;x\u{7} \u{7f}\n\\u001b";
        let json = serde_json::to_string(value).expect("it is text");
        let printed = visible(&json);
        assert!(printed.chars().all(is_shown), "{printed}");
        assert_eq!(serde_json::from_str::<String>(&printed).expect("JSON"), value);
        assert_eq!(one_line("a\nstep 0"), "a\\nstep 0");
    }
}
