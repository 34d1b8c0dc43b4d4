//! The faults of a build file with their places: a [`Diagnostic`] for each, [`Diagnostics`] for all of a file.
//!
//! Rendered like a compiler's: the place, the message, the line itself with a caret, and the way out. Nothing is printed here.

use std::{fmt, path::Path, sync::Arc};

use unicode_width::UnicodeWidthStr;

use super::text::Position;
use crate::exit::{Failure, Fault};

/// A file and its text, to quote from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As the user named it.
    pub file: Arc<Path>,
    /// All of it.
    pub text: Arc<str>,
}

impl Source {
    /// A file and its text.
    pub fn new(file: &Path, text: &str) -> Self {
        Self { file: file.into(), text: text.into() }
    }

    /// A line, from 1, without its end; `None` beyond the last.
    pub fn line(&self, line: u32) -> Option<&str> {
        let index = usize::try_from(line).ok()?.checked_sub(1)?;
        self.text.split('\n').nth(index).map(|text| text.trim_end_matches('\r'))
    }

    /// A fault at a place of this file.
    pub fn diagnostic(&self, at: Position, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            file: Arc::clone(&self.file),
            line: at.line,
            column: at.column,
            message: message.into(),
            line_text: self.line(at.line).unwrap_or_default().to_owned(),
            hint: None,
        }
    }
}

/// One fault, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// As the user named it.
    pub file: Arc<Path>,
    /// From 1; 0 where the file as a whole is meant.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// The fault: lower case, no full stop.
    pub message: String,
    /// The line itself; may be empty.
    pub line_text: String,
    /// The way out, if one is known.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// The same, with a way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The longest part of a line that is quoted, in characters.
const QUOTED: usize = 160;

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.line_text.trim().is_empty() {
            quote(f, self)?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  = {hint}"),
            None => Ok(()),
        }
    }
}

fn quote(f: &mut fmt::Formatter<'_>, fault: &Diagnostic) -> fmt::Result {
    let before = fault.column.saturating_sub(1) as usize;
    // A very long line is quoted around the caret only.
    let skipped = before.saturating_sub(QUOTED / 2);
    let number = fault.line.to_string();
    let margin = " ".repeat(number.len());
    // A terminal shows a tab in as many columns as it likes: here it is a blank.
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let quoted: String = fault.line_text.chars().skip(skipped).take(QUOTED).map(shown).collect();
    let left: String = quoted.chars().take(before - skipped).collect();
    write!(f, "\n{margin} |\n{number} | {quoted}\n{margin} | {}^", " ".repeat(left.width()))
}

/// All faults of a file, in its order; never empty where it is an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Sorts them by place and removes duplicates.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.0.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        self.0.dedup();
        self
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Self {
        Self(vec![one])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl From<Diagnostics> for Failure {
    fn from(faults: Diagnostics) -> Self {
        let fault = |Diagnostic { file, line, column, message, line_text: _, hint }: &Diagnostic| Fault {
            file: file.display().to_string(),
            line: *line,
            column: *column,
            message: message.clone(),
            hint: hint.clone(),
        };
        Self { faults: faults.0.iter().map(fault).collect(), ..Self::build_file(faults.to_string(), "") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_shows_its_line_and_a_caret() {
        let source = Source::new(Path::new("a.yaml"), "package:\n  nmae: x\n");
        let fault = source
            .diagnostic(Position { line: 2, column: 3 }, "unknown key `nmae`")
            .hint("did you mean `name`?");
        assert_eq!(
            fault.to_string(),
            "a.yaml:2:3: unknown key `nmae`\n  |\n2 |   nmae: x\n  |   ^\n  = did you mean `name`?"
        );
    }

    #[test]
    fn the_caret_stands_where_a_terminal_shows_the_fault() {
        for (line, shown) in [
            ("\t\tname:\t!", "1 |   name: !\n  |         ^"),
            ("na\u{308}me: é!", "1 | na\u{308}me: é!\n  |        ^"),
            ("名前: 😀!", "1 | 名前: 😀!\n  |         ^"),
            ("名\t前\t!", "1 | 名 前 !\n  |       ^"),
        ] {
            let column = u32::try_from(line.chars().count()).expect("a short line");
            let fault = Source::new(Path::new("a"), line).diagnostic(Position { line: 1, column }, "bad");
            assert_eq!(fault.to_string(), format!("a:1:{column}: bad\n  |\n{shown}"), "{line:?}");
        }
    }

    #[test]
    fn a_line_of_a_megabyte_is_quoted_around_the_caret() {
        let text = "x".repeat(1 << 20);
        let source = Source::new(Path::new("a.yaml"), &text);
        let shown = source.diagnostic(Position { line: 1, column: 500_000 }, "bad").to_string();
        assert!(shown.len() < 1000, "{} bytes", shown.len());
    }
}
