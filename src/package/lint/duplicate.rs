//! The linter of files with the same name and content in several directories.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::subject::{Details, Duplicate, Items, Outcome, Subject, path_of};
use crate::package::facts::{FileFacts, Kind, base_name};

/// Smaller files are not looked at.
const MIN_BYTES: u64 = 1024;
/// The paths in a message; the details have more.
const MAX_LINES: usize = 200;
/// Paths of one group that are kept.
const MAX_PATHS: usize = 200;

/// Licences are meant to be there several times. The names are those that melange knows licences by.
static LICENCE: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?i-u)^(?:(?:(?:un)?licen[sc]e|copy(?:ing|right))(?:[-_][^.]*)?(?:\.[^./]+)?|[0-9a-z_]+[-_](?:(?:un)?licen[sc]e|copy(?:ing|right))[^.]*(?:\.[^./]+)?|(?:ofl|patents)(?:\.[^./]+)?)$";
    Regex::new(pattern).expect("the pattern is a constant that the tests use")
});
/// Extensions of files that only have such a name.
const NOT_LICENCES: [&[u8]; 5] = [b".xml", b".go", b".gemspec", b".spdx", b".header"];

/// Hard links are one file, so they waste nothing.
pub(super) fn duplicate(subject: &Subject<'_>) -> Option<Outcome> {
    let mut sets = sets(subject);
    let total_duplicate_sets = sets.len();
    let total_wasted_bytes = sets.iter().map(Set::wasted).fold(0, u64::saturating_add);
    sets.sort_by(|a, b| b.wasted().cmp(&a.wasted()).then_with(|| a.name.cmp(b.name)));
    let Items { list: duplicates, .. } = Items::of(sets.iter().map(Set::details)).if_any()?;
    let total_wasted_size = decimal_size(total_wasted_bytes);
    let name = subject.name;
    let message = format!(
        "{name} contains {total_duplicate_sets} duplicate file(s) with same name in different directories (wasting \
         {total_wasted_size} total):"
    );
    let lines = duplicates.iter().flat_map(lines_of).take(MAX_LINES).collect();
    let details =
        Details::Duplicates { total_duplicate_sets, total_wasted_bytes, total_wasted_size, duplicates };
    Some(Outcome { message, lines, details, is_warning_only: false })
}

/// Files with the same name and content.
struct Set<'a> {
    name: &'a [u8],
    files: Vec<&'a FileFacts>,
}

impl Set<'_> {
    fn size(&self) -> u64 {
        self.files.first().map_or(0, |file| file.size)
    }

    fn wasted(&self) -> u64 {
        self.size().saturating_mul(self.files.len().saturating_sub(1) as u64)
    }

    fn details(&self) -> Duplicate {
        let mut files = self.files.clone();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Duplicate {
            basename: String::from_utf8_lossy(self.name).into_owned(),
            count: files.len(),
            size_bytes: self.size(),
            size: decimal_size(self.size()),
            wasted_bytes: self.wasted(),
            wasted_size: decimal_size(self.wasted()),
            paths: files.into_iter().take(MAX_PATHS).map(path_of).collect(),
        }
    }
}

/// The files are sorted, not put into a map: of the many files of a package only few have a double, and a reference to each is
/// all that is held.
fn sets<'a>(subject: &Subject<'a>) -> Vec<Set<'a>> {
    let mut files: Vec<&FileFacts> = subject.files().filter(|file| is_candidate(file)).collect();
    files.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
    let groups = files.chunk_by(|a, b| key(a) == key(b)).filter(|group| group.len() > 1);
    groups
        .filter_map(|group| Some(Set { name: base_name(&group.first()?.path), files: group.to_vec() }))
        .collect()
}

fn is_candidate(file: &FileFacts) -> bool {
    let has_content = matches!(file.kind, Kind::Regular { sha1: Some(_) });
    file.size >= MIN_BYTES && has_content && !is_licence(base_name(&file.path))
}

/// What doubles have in common.
fn key(file: &FileFacts) -> (Option<[u8; 20]>, &[u8]) {
    (file.sha1(), base_name(&file.path))
}

fn is_licence(name: &[u8]) -> bool {
    LICENCE.is_match(name) && !NOT_LICENCES.contains(&super::subject::extension(name))
}

fn lines_of(set: &Duplicate) -> impl Iterator<Item = String> {
    let Duplicate { basename, count, size, wasted_size, paths, .. } = set;
    let head = format!("  {count} copies of '{basename}' ({size} each, wasting {wasted_size}):");
    [head].into_iter().chain(paths.iter().map(|path| format!("    {path}")))
}

/// A size in decimal units, with a digit behind the point if it is below ten of them.
fn decimal_size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut unit = 0;
    let mut scale: u64 = 1;
    while bytes / scale >= 1000 && unit + 1 < units.len() {
        scale *= 1000;
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or_default();
    if unit == 0 && bytes < 10 {
        return format!("{bytes} {name}");
    }
    let value = (bytes as f64 / scale as f64 * 10.0 + 0.5).floor() / 10.0;
    if value < 10.0 { format!("{value:.1} {name}") } else { format!("{value:.0} {name}") }
}
