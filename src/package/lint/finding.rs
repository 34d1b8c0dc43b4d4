//! Findings, and the forms that they are shown in.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    subject::{Details, Duplicate},
    table::Linter,
};
use crate::exit::{Code, Failure};

/// Items of one finding that are shown; the document has more.
const MAX_SHOWN: usize = 100;

/// Further lines of one finding in the failure.
const MAX_LINES: usize = 20;

/// What a linter says of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The package's name.
    pub package: String,
    /// The linter.
    pub linter: &'static Linter,
    /// What it has found, in one line.
    pub message: String,
    /// Lines that follow the message where it is shown.
    pub lines: Vec<String>,
    /// The entries that it is about.
    pub details: Details,
    /// Whether it fails the build.
    pub is_required: bool,
}

/// A finding in the document.
#[derive(Serialize)]
struct Entry<'a> {
    message: &'a str,
    explain: &'a str,
    #[serde(skip_serializing_if = "is_none")]
    details: &'a Details,
}

/// The document of `--persist-lint-results`.
#[derive(Serialize)]
struct Document<'a> {
    package_name: &'a str,
    findings: BTreeMap<&'a str, Vec<Entry<'a>>>,
}

fn is_none(details: &&Details) -> bool {
    **details == Details::None {}
}

impl Finding {
    /// The finding as melange's log has it: the message, its further lines, the advice, and the entries. Control characters are
    /// escaped.
    pub fn log_lines(&self) -> Vec<String> {
        let mut lines = vec![format!("[{}] {}", self.linter.name, self.message)];
        lines.extend(self.lines.iter().take(MAX_SHOWN).map(|line| format!("  {line}")));
        lines.push(format!("  → {}", self.linter.explain));
        let items = items_of(&self.details);
        lines.extend(items.iter().take(MAX_SHOWN).map(|item| format!("    - {item}")));
        if items.len() > MAX_SHOWN {
            lines.push(format!("    … and {} more", items.len() - MAX_SHOWN));
        }
        lines.iter().map(|line| escaped(line)).collect()
    }
}

/// The text of `--persist-lint-results` for a package, whose full name is `NAME-VERSION-rEPOCH`; `None` without findings.
pub fn results(full_name: &str, findings: &[Finding]) -> serde_json::Result<Option<String>> {
    let mut document = Document { package_name: full_name, findings: BTreeMap::new() };
    for Finding { linter, message, details, .. } in findings {
        let entry = Entry { message, explain: linter.explain, details };
        document.findings.entry(linter.name).or_default().push(entry);
    }
    if document.findings.is_empty() {
        return Ok(None);
    }
    let json = serde_json::to_string_pretty(&document)?;
    // As Go's encoder does.
    Ok(Some(json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")))
}

/// The failure of a build with findings of required linters; `None` without any.
pub fn failure(findings: &[Finding]) -> Option<Failure> {
    let required = findings.iter().filter(|finding| finding.is_required);
    let whats: Vec<String> = required
        .clone()
        .map(|Finding { package, linter, message, lines, .. }| {
            let lines = lines.iter().take(MAX_LINES).map(|line| escaped(line));
            let text = [escaped(message)].into_iter().chain(lines).collect::<Vec<_>>().join("\n  ");
            format!("package {package}: linter {:?} failed: {text}", linter.name)
        })
        .collect();
    let first = required.clone().next()?;
    let way_out = format!(
        "{}. Or name the linter in `checks.disabled`, which makes it a warning.",
        first.linter.explain.trim_end_matches('.')
    );
    Some(Failure::new(Code::Package, whats.join("\n"), way_out))
}

/// The entries of a finding, each as a text.
fn items_of(details: &Details) -> Vec<String> {
    match details {
        Details::None {} => Vec::new(),
        Details::Paths { paths: items }
        | Details::Binaries { binaries: items }
        | Details::PythonPackages { packages: items, .. } => items.clone(),
        Details::Architectures { binaries: items } | Details::ArchitecturePaths { files: items } => {
            items.iter().map(|item| format!("{} ({})", item.path, item.arch)).collect()
        }
        Details::Platforms { references } => {
            references.iter().map(|item| format!("{} ({})", item.path, item.platform)).collect()
        }
        Details::Permissions { files } => {
            let text = |path: &str, mode: &str, names: &str| match names.starts_with("world-writable") {
                true => format!("{path} (mode: {mode}) [{names}]"),
                false => format!("{path} (mode: {mode}, {names})"),
            };
            files.iter().map(|item| text(&item.path, &item.mode, &item.permissions.join("+"))).collect()
        }
        Details::Duplicates { duplicates, .. } => duplicates
            .iter()
            .map(|Duplicate { basename, count, wasted_size, .. }| {
                format!("{basename} ({count} copies, {wasted_size} wasted)")
            })
            .collect(),
    }
}

fn escaped(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for letter in line.chars() {
        if letter.is_control() { text.extend(letter.escape_default()) } else { text.push(letter) }
    }
    text
}
