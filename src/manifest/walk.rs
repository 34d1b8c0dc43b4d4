//! The tree → typed sections: the parts that all walkers share.
//!
//! A section opens its map as [`Fields`], takes each key it knows by name, and closes it; a key that was not taken is unknown.
//! Faults are collected, not returned: a walker continues with the default value, so that all faults of a file are shown at once.

use super::{
    diagnostic::{Diagnostic, Source},
    effect::{self, Effect},
    scalar,
    text::{Map, Position, Text},
    yaml::{Node, Value},
};

/// How many faults of one file are collected: more would not be read.
const MAX_FAULTS: usize = 50;

/// The treatment of an unknown key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnknownKeys {
    /// A fault: the build file itself.
    Refuse,
    /// Ignored, as in a pipeline definition of melange.
    Ignore,
}

/// Collects the faults of one file.
pub(crate) struct Report<'s> {
    source: &'s Source,
    unknown: UnknownKeys,
    faults: Vec<Diagnostic>,
    /// Keys without effect.
    notes: Vec<Diagnostic>,
}

impl<'s> Report<'s> {
    /// `faults` are those that reading the tree has found.
    pub(crate) fn new(source: &'s Source, unknown: UnknownKeys, faults: Vec<Diagnostic>) -> Self {
        Self { source, unknown, faults, notes: Vec::new() }
    }

    pub(crate) fn fault(&mut self, at: Position, message: impl Into<String>) {
        self.push(at, message, None);
    }

    pub(crate) fn fault_with(&mut self, at: Position, message: impl Into<String>, hint: impl Into<String>) {
        self.push(at, message, Some(hint.into()));
    }

    fn push(&mut self, at: Position, message: impl Into<String>, hint: Option<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Diagnostic { hint, ..self.source.diagnostic(at, message) });
        }
    }

    /// Notes a key without effect.
    fn note(&mut self, section: &str, key: &'static str, at: Position) {
        match effect::of(section, key) {
            Effect::Works | Effect::Describes | Effect::OtherCommand | Effect::Within => {}
            Effect::Nothing(why) if self.notes.len() < MAX_FAULTS => {
                self.notes.push(self.source.diagnostic(at, format!("`{key}` has no effect: {why}")));
            }
            Effect::Nothing(_) => {}
        }
    }

    /// The notes, in the order of the file.
    pub(crate) fn take_notes(&mut self) -> Vec<Diagnostic> {
        let mut notes = std::mem::take(&mut self.notes);
        notes.sort_by_key(|note| (note.line, note.column));
        notes
    }

    pub(crate) fn into_faults(self) -> Vec<Diagnostic> {
        self.faults
    }
}

/// A value that a node can be read as.
pub(crate) trait Read: Sized + Default {
    /// The expected value, for the message about another one.
    const EXPECTED: &'static str;

    /// Reads it; faults go to the report. Never called with a null, which is the default of everything.
    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self>;
}

/// Reads a node; a null is the default, another type a fault.
pub(crate) fn value<T: Read>(node: &Node<'_>, report: &mut Report<'_>) -> T {
    if node.is_null() {
        return T::default();
    }
    T::read(node, report).unwrap_or_else(|| {
        let found = match node.text() {
            Some(text) if !text.is_empty() && text.chars().count() <= 40 && !text.contains('\n') => {
                format!("`{text}`")
            }
            _ => node.kind().to_owned(),
        };
        report.fault(node.at, format!("expected {}, found {found}", T::EXPECTED));
        T::default()
    })
}

impl Read for Text {
    const EXPECTED: &'static str = "a single value";

    fn read(node: &Node<'_>, _: &mut Report<'_>) -> Option<Self> {
        node.text()
    }
}

impl Read for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(node: &Node<'_>, _: &mut Report<'_>) -> Option<Self> {
        scalar::boolean(node)
    }
}

impl Read for u64 {
    const EXPECTED: &'static str = "a whole number, not below 0, without quotes";

    fn read(node: &Node<'_>, _: &mut Report<'_>) -> Option<Self> {
        scalar::unsigned(node)
    }
}

impl Read for u32 {
    const EXPECTED: &'static str = "a whole number from 0 to 4294967295, without quotes";

    fn read(node: &Node<'_>, _: &mut Report<'_>) -> Option<Self> {
        scalar::unsigned(node).and_then(|number| Self::try_from(number).ok())
    }
}

impl Read for i64 {
    const EXPECTED: &'static str = "a whole number, without quotes";

    fn read(node: &Node<'_>, _: &mut Report<'_>) -> Option<Self> {
        scalar::signed(node)
    }
}

impl<T: Read> Read for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        T::read(node, report).map(Some)
    }
}

impl<T: Read> Read for Vec<T> {
    const EXPECTED: &'static str = "a list";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let Value::Sequence(items) = &node.value else { return None };
        // An empty item is ignored, as in Go.
        Some(items.iter().filter(|item| !item.is_null()).map(|item| value(item, report)).collect())
    }
}

impl Read for Map {
    const EXPECTED: &'static str = "a map";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        entries(node, report)
    }
}

/// A map from free names to anything, sorted by name.
pub(crate) fn entries<T: Read>(
    node: &Node<'_>,
    report: &mut Report<'_>,
) -> Option<std::collections::BTreeMap<Text, T>> {
    let Value::Mapping(pairs) = &node.value else { return None };
    Some(pairs.iter().filter_map(|(key, item)| Some((key.text()?, value(item, report)))).collect())
}

/// A section's map, taken apart key by key.
pub(crate) struct Fields<'n, 'a, 'r, 's> {
    section: &'static str,
    pairs: &'n [(Node<'a>, Node<'a>)],
    known: Vec<&'static str>,
    /// Where faults go.
    pub(crate) report: &'r mut Report<'s>,
}

impl<'n, 'a, 'r, 's> Fields<'n, 'a, 'r, 's> {
    /// `None` if the node is not a map.
    pub(crate) fn open(
        section: &'static str,
        node: &'n Node<'a>,
        report: &'r mut Report<'s>,
    ) -> Option<Self> {
        match &node.value {
            Value::Mapping(pairs) => Some(Self { section, pairs, known: Vec::new(), report }),
            Value::Scalar(_) | Value::Sequence(_) => None,
        }
    }

    /// The value of a key; the default where it is absent.
    pub(crate) fn take<T: Read>(&mut self, key: &'static str) -> T {
        match self.find(key) {
            Some((_, node)) => value(node, self.report),
            None => T::default(),
        }
    }

    /// The key and the node of its value.
    pub(crate) fn find(&mut self, key: &'static str) -> Option<(Position, &'n Node<'a>)> {
        self.known.push(key);
        let is_it = |name: &Node<'_>| matches!(&name.value, Value::Scalar(scalar) if scalar.text == key);
        let (name, node) = self.pairs.iter().find(|(name, _)| is_it(name))?;
        if self.report.unknown == UnknownKeys::Refuse && !node.is_null() {
            self.report.note(self.section, key, name.at);
        }
        Some((name.at, node))
    }

    /// Each key that was not taken is a fault, with the nearest known one.
    pub(crate) fn close(self) {
        if self.report.unknown == UnknownKeys::Ignore {
            return;
        }
        for (key, _) in self.pairs {
            let Some(name) = key.text() else { continue };
            if self.known.contains(&name.as_str()) {
                continue;
            }
            let message = format!("unknown key `{name}` in {}", self.section);
            match nearest(&name, &self.known) {
                Some(near) => self.report.fault_with(key.at, message, format!("did you mean `{near}`?")),
                None => {
                    let known = self.known.join(", ");
                    self.report.fault_with(key.at, message, format!("known here: {known}"));
                }
            }
        }
    }
}

/// Among how many names the nearest is looked for: people have fewer.
const MAX_CANDIDATES: usize = 2000;

/// The known name that differs least, if it differs little.
pub(crate) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let name = plain(name);
    let limit = 1 + name.len() / 4;
    known
        .iter()
        .take(MAX_CANDIDATES)
        .map(|candidate| (distance(&name, &plain(candidate)), *candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// How many insertions, deletions, replacements and swaps of neighbours make one word the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(40).collect(), b.chars().take(40).collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_suggested_only_if_it_is_near() {
        let known = ["name", "version", "working-directory", "runs", "uses"];
        for (typed, meant) in [
            ("nmae", Some("name")),
            ("Version", Some("version")),
            ("working_directory", Some("working-directory")),
            ("run", Some("runs")),
            ("banana", None),
        ] {
            assert_eq!(nearest(typed, &known), meant, "{typed}");
        }
    }
}
