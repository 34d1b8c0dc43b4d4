//! Patterns of paths: components between slashes; `*` stands for any characters of one component, `**` for any number of
//! components. A pattern covers what it matches and all below it.

use std::{borrow::Cow, path::Path};

/// A path, to be matched with many patterns.
pub(super) fn components(path: &Path) -> Vec<Cow<'_, str>> {
    path.components().map(|component| component.as_os_str().to_string_lossy()).collect()
}

/// Whether the pattern matches the path or a directory on the way to it.
pub(super) fn covers(pattern: &str, path: &[Cow<'_, str>]) -> bool {
    (1..=path.len()).any(|length| matches(pattern.split('/'), &path[..length]))
}

/// Whether the path is a directory on the way to what the pattern matches.
pub(super) fn leads_to(pattern: &str, path: &[Cow<'_, str>]) -> bool {
    (0..pattern.split('/').count()).any(|length| matches(pattern.split('/').take(length), path))
}

fn matches<'p>(mut pattern: impl Iterator<Item = &'p str> + Clone, path: &[Cow<'_, str>]) -> bool {
    match (pattern.next(), path) {
        (None, []) => true,
        (Some("**"), path) => (0..=path.len()).any(|skipped| matches(pattern.clone(), &path[skipped..])),
        (Some(first), [name, path @ ..]) => component(first, name) && matches(pattern, path),
        (None, [_, ..]) | (Some(_), []) => false,
    }
}

/// One component against one pattern with at most one `*`.
fn component(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_it_matches_and_all_below() {
        for (pattern, path, covered) in [
            ("a", "a", true),
            ("a", "a/b/c", true),
            ("a", "ab", false),
            ("a/b", "a", false),
            ("*.lock", "x.lock", true),
            ("*.lock", "x/y.lock", false),
            ("**/.lock", ".lock", true),
            ("**/.lock", "a/b/.lock", true),
            ("**/*.tmp", "a/b/c.tmp/d", true),
            ("a*b", "ab", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(covers(pattern, &components(Path::new(path))), covered, "{pattern} {path}");
        }
    }

    #[test]
    fn the_way_to_what_is_kept_is_known() {
        assert!(leads_to("a/b/c", &components(Path::new("a/b"))));
        assert!(leads_to("a/b/c", &components(Path::new(""))));
        assert!(!leads_to("a/b/c", &components(Path::new("a/x"))));
        assert!(!leads_to("a/b", &components(Path::new("a/b/c"))));
    }
}
