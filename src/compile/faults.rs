//! Collects the faults of a compilation, and finds the place in the file of a place inside a scalar.

use super::substitute::{self, Scope};
use crate::manifest::{Diagnostic, Layout, Map, Position, Source, Text};

/// How many are collected: more would not be read.
const MAX_FAULTS: usize = 50;

/// The faults and warnings of a compilation.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) faults: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
}

impl Faults {
    pub(crate) fn push(&mut self, fault: Diagnostic) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }

    /// Whether no more are collected, so that messages need not be made.
    pub(crate) fn is_full(&self) -> bool {
        self.faults.len() >= MAX_FAULTS
    }

    pub(crate) fn warn(&mut self, warning: Diagnostic) {
        if self.warnings.len() < MAX_FAULTS {
            self.warnings.push(warning);
        }
    }

    /// The text with all variables replaced; on faults the text as it was.
    pub(crate) fn strict(&mut self, source: &Source, text: &Text, scope: &Scope<'_>) -> Text {
        match substitute::strict(scope.spend(text), |name| scope.look_up(name).map(Into::into)) {
            Ok(None) => text.clone(),
            Ok(Some(value)) => text.with_value(value),
            Err(faults) => {
                self.references(source, text, &faults, scope);
                text.clone()
            }
        }
    }

    /// Adds the faults in the references of a text.
    pub(crate) fn references(
        &mut self,
        source: &Source,
        text: &Text,
        found: &[substitute::Fault],
        scope: &Scope<'_>,
    ) {
        for fault in found {
            if self.is_full() {
                return;
            }
            self.push(reference(source, text, fault, scope));
        }
    }

    /// Each of them, as [`Faults::strict`].
    pub(crate) fn strict_all(&mut self, source: &Source, texts: &mut [Text], scope: &Scope<'_>) {
        for text in texts {
            *text = self.strict(source, text, scope);
        }
    }

    /// Each value of a map, as [`Faults::strict`].
    pub(crate) fn strict_values(&mut self, source: &Source, map: &mut Map, scope: &Scope<'_>) {
        for text in map.values_mut() {
            *text = self.strict(source, text, scope);
        }
    }
}

/// A fault in a reference of a text, with its place in the file.
pub(crate) fn reference(
    source: &Source,
    text: &Text,
    fault: &substitute::Fault,
    scope: &Scope<'_>,
) -> Diagnostic {
    let (message, hint) = match fault {
        substitute::Fault::Undefined { name, .. } => {
            (format!("variable `{name}` is not defined"), undefined_hint(name, scope))
        }
        substitute::Fault::Unterminated { name, .. } => (
            format!("the variable `{name}` has no `}}}}`"),
            Some("a reference is written `${{name}}`".into()),
        ),
        substitute::Fault::Empty { .. } => ("a variable without a name".into(), None),
    };
    let name = match fault {
        substitute::Fault::Undefined { name, .. } | substitute::Fault::Unterminated { name, .. } => {
            name.as_str()
        }
        substitute::Fault::Empty { .. } => "",
    };
    Diagnostic { hint, ..source.diagnostic(find_reference(source, text, name), message) }
}

fn undefined_hint(name: &str, scope: &Scope<'_>) -> Option<String> {
    if let Some(near) = scope.nearest(name) {
        return Some(format!("did you mean `${{{{{near}}}}}`?"));
    }
    let hint = match name.split_once('.').map(|(family, _)| family) {
        Some("range") => {
            "`range.key` and `range.value` exist in a subpackage with `range` only, written without blanks: `${{range.key}}`"
        }
        Some("inputs") => "`inputs` exist inside of a pipeline definition only",
        Some("subpkg") => "`subpkg.name` exists in subpackages only",
        Some("vars") => "variables are set under `vars`, by `var-transforms` or with `--vars-file`",
        _ => return None,
    };
    Some(hint.into())
}

/// The place of `${{name` in the file, from where the text starts; the start where it is not to be found.
fn find_reference(source: &Source, text: &Text, name: &str) -> Position {
    let span = lines_of(source, text);
    for (number, line) in span {
        for (byte, _) in line.match_indices("${{") {
            let inside = line[byte + 3..].trim_start_matches(substitute::BLANKS);
            let ends = |rest: &str| !rest.starts_with(substitute::is_name);
            if inside.strip_prefix(name).is_some_and(ends) {
                return Position { line: number, column: column(line, byte) };
            }
        }
    }
    text.position
}

/// The place of a line (from 0) and column (from 0, in characters) of a text's value in the file.
pub(crate) fn find_line(source: &Source, text: &Text, line: usize, in_line: usize) -> Position {
    let Some(value) = text.split('\n').nth(line) else { return text.position };
    let start = text.position.column.saturating_sub(1) as usize;
    if text.layout == Layout::Flow && line == 0 {
        let found = source.line(text.position.line).and_then(|found| behind(found, start));
        let quote = usize::from(found.is_some_and(|found| found.starts_with(['\'', '"'])));
        let is_written =
            found.and_then(|found| behind(found, quote)).is_some_and(|found| agree(found, value, in_line));
        let column = if is_written { start + quote + in_line } else { start };
        return at(text.position.line, column);
    }
    let wanted = value.trim();
    let mut span = lines_of(source, text).enumerate();
    let same = |candidate: &str| !wanted.is_empty() && candidate.trim() == wanted;
    // Where it should be; else the first line that is the same, because a variable can have brought lines in.
    let exact = span.clone().find(|(index, (_, found))| *index == line && same(found));
    if let Some((_, (number, found))) = exact.or_else(|| span.find(|(_, (_, found))| same(found))) {
        return at(number, (in_line + indent(found)).saturating_sub(indent(value)));
    }
    let guess = text.position.line.saturating_add(u32::try_from(line).unwrap_or(0));
    match (text.layout, source.line(guess)) {
        (Layout::Literal, Some(found)) => at(guess, in_changed(found, value, in_line)),
        _ => text.position,
    }
}

/// The column of a place in a line that a variable has changed: exact as far as the line is as written, else where it begins.
fn in_changed(written: &str, value: &str, in_line: usize) -> usize {
    let skipped = indent(value);
    let agrees = in_line >= skipped && agree(written.trim_start(), value.trim_start(), in_line - skipped);
    indent(written) + if agrees { in_line - skipped } else { 0 }
}

/// Whether so many characters are the same in both, and both have them.
fn agree(a: &str, b: &str, count: usize) -> bool {
    behind(b, count).is_some() && a.chars().take(count).eq(b.chars().take(count))
}

/// The text after so many characters; `None` if it has fewer.
fn behind(text: &str, count: usize) -> Option<&str> {
    let mut ends = text.char_indices().map(|(byte, _)| byte).chain([text.len()]);
    ends.nth(count).map(|byte| &text[byte..])
}

/// How many blanks a line begins with.
fn indent(line: &str) -> usize {
    line.chars().take_while(|c| c.is_whitespace()).count()
}

/// A line from 1 and a column from 0.
fn at(line: u32, column: usize) -> Position {
    Position { line, column: u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1) }
}

/// The lines of the file that can hold a text: from its start on, as many as its layout allows.
fn lines_of<'s>(source: &'s Source, text: &Text) -> impl Iterator<Item = (u32, &'s str)> + Clone {
    /// Beyond that a place is not worth the search.
    const MAX_LINES: usize = 5000;
    let start = text.position.line.max(1);
    source
        .text
        .split('\n')
        .skip(start as usize - 1)
        .take(if text.position.line == 0 { 0 } else { MAX_LINES })
        .enumerate()
        .map(move |(offset, line)| (start.saturating_add(u32::try_from(offset).unwrap_or(u32::MAX)), line))
}

fn column(line: &str, byte: usize) -> u32 {
    u32::try_from(line[..byte].chars().count() + 1).unwrap_or(u32::MAX)
}
