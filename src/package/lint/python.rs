//! Linters of modules of Python.

use std::collections::BTreeSet;

use super::subject::{Details, Items, Outcome, Subject};
use crate::package::facts::{base_name, parent};

/// Names in a message; the details have more.
const MAX_NAMES: usize = 100;
/// What is no module, by its extension.
const METADATA: [&str; 3] = [".egg-info", ".dist-info", ".pth"];

pub(super) fn docs(subject: &Subject<'_>) -> Option<Outcome> {
    has_entry(subject, &["doc", "docs"], "docs directory encountered in Python site-packages directory")
}

pub(super) fn test(subject: &Subject<'_>) -> Option<Outcome> {
    has_entry(subject, &["test", "tests"], "tests directory encountered in Python site-packages directory")
}

fn has_entry(subject: &Subject<'_>, names: &[&str], message: &str) -> Option<Outcome> {
    match entries(subject) {
        Ok(mut entries) => entries
            .any(|entry| names.iter().any(|name| name.as_bytes() == entry))
            .then(|| Outcome::plain(message)),
        Err(outcome) => Some(outcome),
    }
}

/// melange cuts names to the length of their extension; kiln cuts the extension off, so that `a.py`, `a.cpython-312.so` and the
/// directory `a` are one package.
pub(super) fn multiple(subject: &Subject<'_>) -> Option<Outcome> {
    let entries = match entries(subject) {
        Ok(entries) => entries,
        Err(outcome) => return Some(outcome),
    };
    let names: BTreeSet<&[u8]> = entries.filter_map(package_name).collect();
    if names.len() < 2 {
        return None;
    }
    let quoted = names.iter().map(|name| format!("{:?}", String::from_utf8_lossy(name)));
    let Items { list: packages, count } = Items::of(quoted);
    let mut shown = packages.iter().take(MAX_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    if count > MAX_NAMES {
        shown.push_str(", …");
    }
    let message = format!("multiple Python packages detected: {count} found ({shown})");
    Some(Outcome::new(message, Details::PythonPackages { count, packages }))
}

/// The name of the package that an entry of `site-packages` belongs to.
fn package_name(entry: &[u8]) -> Option<&[u8]> {
    let is_other = matches!(entry, b"test" | b"tests" | b"doc" | b"docs")
        || METADATA.iter().any(|extension| entry.ends_with(extension.as_bytes()));
    let name = entry.split(|&byte| byte == b'.').next().unwrap_or_default();
    (!is_other && !name.is_empty() && !entry.starts_with(b"_")).then_some(name)
}

/// The names in the one directory `site-packages`; a finding if there are several versions of Python.
fn entries<'a>(subject: &Subject<'a>) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>, Outcome> {
    let is_python = |path: &[u8]| parent(path) == b"usr/lib" && base_name(path).starts_with(b"python3.");
    let mut versions = subject.files().filter(|file| is_python(&file.path));
    let version = versions.next().map(|file| &file.path[..]);
    let more = versions.count();
    if more > 0 {
        let message = format!("more than one Python version detected: {} found", more + 1);
        return Err(Outcome::plain(message));
    }
    let directory = version.map(|version| [version, b"/site-packages"].concat());
    let is_entry = move |path: &[u8]| directory.as_deref().is_some_and(|directory| parent(path) == directory);
    Ok(subject.files().filter(move |file| is_entry(&file.path)).map(|file| base_name(&file.path)))
}
