//! A script as melange prints it: empty if it has only comments, and with indented `<<-` documents.
//!
//! melange parses scripts and prints them back: its printer drops comments and indents the body of a `<<-` document by tabs, one
//! more than the line it belongs to. The shell strips those tabs; the build runs the text as written.

use std::borrow::Cow;

/// The script for the compiled file.
pub(crate) fn script(text: &str) -> Cow<'_, str> {
    let nothing = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if !text.starts_with("#!") && text.lines().all(nothing) {
        return Cow::Borrowed("");
    }
    if text.contains("<<-") { Cow::Owned(indented(text)) } else { Cow::Borrowed(text) }
}

fn indented(text: &str) -> String {
    let mut scanner = Scanner::default();
    let mut out = String::with_capacity(text.len() + 64);
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        out.push_str(line);
        scanner.line(line);
        for document in std::mem::take(&mut scanner.documents) {
            body(&document, &mut lines, &mut out);
        }
    }
    out
}

/// Copies the body of a document with its indentation.
fn body<'t>(document: &Document, lines: &mut impl Iterator<Item = &'t str>, out: &mut String) {
    let mut first: Option<usize> = None;
    for line in lines {
        if !document.dash {
            out.push_str(line);
            if line.trim_end_matches('\n') == document.end {
                return;
            }
            continue;
        }
        let trimmed = line.trim_start_matches('\t');
        if trimmed.trim_end_matches('\n') == document.end {
            out.push_str(&"\t".repeat(document.level));
            out.push_str(trimmed);
            return;
        }
        let tabs = line.len() - trimmed.len();
        let wanted = match first {
            _ if trimmed == "\n" => 0,
            None => document.level + 1,
            Some(first) if tabs < first => first,
            Some(first) => (tabs + document.level + 1).saturating_sub(first),
        };
        if trimmed != "\n" {
            first.get_or_insert(tabs);
        }
        out.push_str(&"\t".repeat(wanted));
        out.push_str(trimmed);
    }
}

/// A document announced on the current line.
struct Document {
    dash: bool,
    end: String,
    /// How deep the printer indents the line that announces it.
    level: usize,
}

/// The blocks that are open at the scanner's position.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    /// `(`, `$(`, `{`, the body of `then`, `do` or a case: indents.
    Body,
    /// `if` before `then`, a loop before `do`: does not.
    Head,
    /// `case … in` and its patterns: does not.
    Case,
    SingleQuote,
    DoubleQuote,
}

/// Follows the blocks of a script line by line: enough of the grammar to know how deep a line is.
#[derive(Default)]
struct Scanner {
    open: Vec<Open>,
    continued: bool,
    /// How deep the printer indents the current line: a block that opens within it counts only if the line is broken there.
    line_level: usize,
    documents: Vec<Document>,
}

impl Scanner {
    fn level(&self) -> usize {
        self.open.iter().filter(|open| **open == Open::Body).count() + usize::from(self.continued)
    }

    fn line(&mut self, line: &str) {
        let mut rest = line.trim_end_matches('\n');
        self.line_level = self.level();
        let mut word_start = true;
        let mut last = "";
        while let Some(c) = rest.chars().next() {
            let token = self.token(rest, c, word_start);
            let (text, after) = rest.split_at(token);
            word_start = c.is_whitespace() || ";|&(){}`".contains(c);
            if !c.is_whitespace() {
                last = text;
            }
            rest = after;
        }
        let quoted = matches!(self.open.last(), Some(Open::SingleQuote | Open::DoubleQuote));
        self.continued = !quoted && matches!(last, "|" | "||" | "&&" | "\\");
    }

    /// Takes one token and returns its length.
    fn token(&mut self, rest: &str, c: char, word_start: bool) -> usize {
        match self.open.last() {
            Some(Open::SingleQuote) => return self.quoted(rest, c, '\''),
            Some(Open::DoubleQuote) => return self.quoted(rest, c, '"'),
            _ => {}
        }
        match c {
            '#' if word_start => rest.len(),
            '\\' => rest.chars().take(2).map(char::len_utf8).sum(),
            '\'' => self.push(Open::SingleQuote, 1),
            '"' => self.push(Open::DoubleQuote, 1),
            '(' => self.push(Open::Body, 1),
            ')' if self.open.last() == Some(&Open::Case) => self.push(Open::Body, 1),
            ')' => self.pop(1),
            ';' if rest.starts_with(";;") => self.pop(2),
            '$' if rest.starts_with("${") => rest.find('}').map_or(rest.len(), |end| end + 1),
            '<' if rest.starts_with("<<<") => 3,
            '<' if rest.starts_with("<<") => self.document(rest),
            '|' | '&' => rest.chars().take(2).take_while(|&other| other == c).count(),
            c if c.is_whitespace() || ";<>`$".contains(c) => c.len_utf8(),
            _ if word_start => self.word(rest),
            c => c.len_utf8(),
        }
    }

    fn push(&mut self, open: Open, length: usize) -> usize {
        self.open.push(open);
        length
    }

    fn pop(&mut self, length: usize) -> usize {
        self.open.pop();
        length
    }

    fn quoted(&mut self, rest: &str, c: char, quote: char) -> usize {
        match c {
            '\\' if quote == '"' => rest.chars().take(2).map(char::len_utf8).sum(),
            '$' if quote == '"' && rest.starts_with("$(") => self.push(Open::Body, 2),
            c if c == quote => self.pop(1),
            c => c.len_utf8(),
        }
    }

    fn word(&mut self, rest: &str) -> usize {
        let length =
            rest.find(|c: char| c.is_whitespace() || ";|&()<>`\"'$\\".contains(c)).unwrap_or(rest.len());
        match &rest[..length] {
            "if" | "for" | "while" | "until" | "select" => self.open.push(Open::Head),
            "case" => self.open.push(Open::Case),
            "then" | "else" | "do" => {
                self.replace(Open::Body);
                self.line_level = self.level();
            }
            "elif" => self.replace(Open::Head),
            "{" => self.open.push(Open::Body),
            "fi" | "done" | "}" => {
                self.open.pop();
            }
            "esac" => self.esac(),
            _ => {}
        }
        length.max(rest.chars().next().map_or(1, char::len_utf8))
    }

    /// The last pattern of a `case` may go without `;;`.
    fn esac(&mut self) {
        let closed = self.open.pop();
        let in_pattern = self.open.last() == Some(&Open::Case);
        if closed == Some(Open::Body) && in_pattern {
            self.open.pop();
        }
    }

    fn replace(&mut self, open: Open) {
        if let Some(last) = self.open.last_mut() {
            *last = open;
        }
    }

    fn document(&mut self, rest: &str) -> usize {
        let dash = rest.starts_with("<<-");
        let operator = if dash { 3 } else { 2 };
        let after = rest[operator..].trim_start_matches([' ', '\t']);
        let length = after.find(|c: char| c.is_whitespace() || ";|&()<>".contains(c)).unwrap_or(after.len());
        let end = after[..length].replace(['\'', '"', '\\'], "");
        let level = self.line_level.min(self.level());
        self.documents.push(Document { dash, end, level });
        rest.len() - after.len() + length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_of_comments_is_printed_empty() {
        for (text, wanted) in [
            ("# a\n\n  # b\n", ""),
            ("", ""),
            ("\n\n", ""),
            ("#!/bin/sh\n# a\n", "#!/bin/sh\n# a\n"),
            ("# a\nb\n", "# a\nb\n"),
            ("cat <<EOF\nx\nEOF\n", "cat <<EOF\nx\nEOF\n"),
        ] {
            assert_eq!(script(text), wanted, "{text}");
        }
    }

    #[test]
    fn documents_are_indented_as_the_printer_does_it() {
        for (text, wanted) in [
            ("cat <<-E\na\n\n\tb\nE\nx\n", "cat <<-E\n\ta\n\n\t\tb\nE\nx\n"),
            ("cat <<- 'E'\n\t\ta\n\tb\n\t\t\tc\n\tE\n", "cat <<- 'E'\n\ta\n\t\tb\n\t\tc\nE\n"),
            (
                "if x; then\n  cat <<-E\na\nE\nfi\ncat <<-E\nb\nE\n",
                "if x; then\n  cat <<-E\n\t\ta\n\tE\nfi\ncat <<-E\n\tb\nE\n",
            ),
            (
                "for i in a; do\n{\ncat <<-E\na\nE\n}\ndone\n",
                "for i in a; do\n{\ncat <<-E\n\t\t\ta\n\t\tE\n}\ndone\n",
            ),
            (
                "case x in\na) cat <<-E\na\nE\n;;\nesac\ncat <<-E\nb\nE\n",
                "case x in\na) cat <<-E\n\ta\nE\n;;\nesac\ncat <<-E\n\tb\nE\n",
            ),
            ("cat <<A <<-B\na\nA\nb\nB\n", "cat <<A <<-B\na\nA\n\tb\nB\n"),
            (
                "echo \"if ( {\" 'then (' # if (\ncat <<-E\na\nE\n",
                "echo \"if ( {\" 'then (' # if (\ncat <<-E\n\ta\nE\n",
            ),
            (
                "x=\"$(cat <<-E\na\nE\n)\"\ncat <<-E\nb\nE\n",
                "x=\"$(cat <<-E\n\ta\nE\n)\"\ncat <<-E\n\tb\nE\n",
            ),
            ("while x; do cat <<-E; done\na\nE\n", "while x; do cat <<-E; done\n\t\ta\n\tE\n"),
            ("while x; do\ny\ndone <<-E\na\nE\n", "while x; do\ny\ndone <<-E\n\ta\nE\n"),
            ("a |\ncat <<-E\na\nE\n", "a |\ncat <<-E\n\t\ta\n\tE\n"),
            ("cat <<-E\nnever ends", "cat <<-E\n\tnever ends"),
            ("cat <<<x <<-E\nif\nE\n", "cat <<<x <<-E\n\tif\nE\n"),
        ] {
            assert_eq!(script(text), wanted, "{text}");
        }
    }
}
