//! Patterns of paths: components between slashes; `*` stands for any characters of one component, `**` for any number of
//! components. A pattern covers what it matches and all below it.

use std::path::Path;

/// Whether the pattern matches the path or a directory on the way to it.
pub(super) fn covers(pattern: &str, path: &Path) -> bool {
    let path = components(path);
    let pattern: Vec<&str> = pattern.split('/').collect();
    (1..=path.len()).any(|length| matches(&pattern, &path[..length]))
}

/// Whether the path is a directory on the way to what the pattern matches.
pub(super) fn leads_to(pattern: &str, path: &Path) -> bool {
    let path = components(path);
    let pattern: Vec<&str> = pattern.split('/').collect();
    (0..pattern.len()).any(|length| matches(&pattern[..length], &path))
}

fn components(path: &Path) -> Vec<String> {
    path.components().map(|component| component.as_os_str().to_string_lossy().into_owned()).collect()
}

fn matches(pattern: &[&str], path: &[String]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (["**", rest @ ..], path) => (0..=path.len()).any(|skipped| matches(rest, &path[skipped..])),
        ([first, pattern @ ..], [name, path @ ..]) => component(first, name) && matches(pattern, path),
        ([], [_, ..]) | ([_, ..], []) => false,
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
            assert_eq!(covers(pattern, Path::new(path)), covered, "{pattern} {path}");
        }
    }

    #[test]
    fn the_way_to_what_is_kept_is_known() {
        assert!(leads_to("a/b/c", Path::new("a/b")));
        assert!(leads_to("a/b/c", Path::new("")));
        assert!(!leads_to("a/b/c", Path::new("a/x")));
        assert!(!leads_to("a/b", Path::new("a/b/c")));
    }
}
