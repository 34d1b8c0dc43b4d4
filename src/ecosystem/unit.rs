//! Entries of a cache: files that a tool stores together, and that are removed together or not at all.
//!
//! A pattern names an entry by what its wildcards stand for, so that files in several places are one entry: of
//! `cache/download/**/@v/*.zip` and `**/*@*/` the archive of a module's version and what was unpacked from it. `*` stands for
//! some characters of one component, `**` for any number of components, `?` for one component that does not belong to the
//! name. With a slash at its end a pattern takes what it matches and all below it, else it is about a file.

/// The match of a pattern and a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    /// How many components of the path lead to the file or directory that is removed.
    pub components: usize,
    /// The texts of the wildcards, with slashes between.
    pub name: String,
}

/// The match of the first pattern that fits.
pub(super) fn find(patterns: &[&str], path: &[&str]) -> Option<Unit> {
    patterns.iter().find_map(|pattern| one(pattern, path))
}

fn one(pattern: &str, path: &[&str]) -> Option<Unit> {
    let (pattern, lengths) = match pattern.strip_suffix('/') {
        Some(directory) => (directory, 1..=path.len()),
        None => (pattern, path.len()..=path.len()),
    };
    let pattern: Vec<&str> = pattern.split('/').collect();
    lengths.into_iter().find_map(|components| {
        let mut words = Vec::new();
        matches(&pattern, &path[..components], &mut words).then(|| Unit { components, name: words.join("/") })
    })
}

/// Whether all of the path matches; `words` are what the wildcards stand for.
fn matches(pattern: &[&str], path: &[&str], words: &mut Vec<String>) -> bool {
    let before = words.len();
    let matched = match (pattern, path) {
        ([], []) => true,
        (["**", rest @ ..], path) => (0..=path.len()).any(|taken| {
            words.truncate(before);
            words.extend((taken > 0).then(|| path[..taken].join("/")));
            matches(rest, &path[taken..], words)
        }),
        (["?", pattern @ ..], [_, path @ ..]) => matches(pattern, path, words),
        ([first, pattern @ ..], [name, path @ ..]) => {
            component(first, name, words) && matches(pattern, path, words)
        }
        ([], [_, ..]) | ([_, ..], []) => false,
    };
    if !matched {
        words.truncate(before);
    }
    matched
}

/// One component; no `*` stands for nothing, and the first ones for as little as possible.
fn component(pattern: &str, name: &str, words: &mut Vec<String>) -> bool {
    let Some((start, pattern)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(start) else { return false };
    let ends = rest.char_indices().skip(1).map(|(at, _)| at).chain([rest.len()]);
    for end in ends.filter(|end| *end > 0) {
        let before = words.len();
        words.push(rest[..end].to_owned());
        if component(pattern, &rest[end..], words) {
            return true;
        }
        words.truncate(before);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_what_its_wildcards_stand_for() {
        for (pattern, path, found) in [
            ("d/**/@v/*.zip", "d/github.com/a/b/@v/v1.0.2.zip", Some((6, "github.com/a/b/v1.0.2"))),
            ("d/**/@v/*.zip", "d/a/@v/list", None),
            ("**/*@*/", "github.com/a/b@v1.0.2/x/y@z.go", Some((3, "github.com/a/b/v1.0.2"))),
            ("**/*@*/", "b@v1/x", Some((1, "b/v1"))),
            ("**/*@*/", "d/a/@v/list", None),
            ("db/*/", "db/x/objects/00", Some((2, "x"))),
            ("db/*/", "db", None),
            ("**/?", "org/a/1.0/a.jar", Some((4, "org/a/1.0"))),
            ("**/?", "top", Some((1, ""))),
            ("c/*/*.crate", "c/index/a-1.crate", Some((3, "index/a-1"))),
            ("c/*/*.crate", "c/index/.crate", None),
            ("*-é*", "a-éb", Some((1, "a/b"))),
        ] {
            let path: Vec<&str> = path.split('/').collect();
            let unit = one(pattern, &path).map(|unit| (unit.components, unit.name));
            assert_eq!(unit, found.map(|(components, name)| (components, name.to_owned())), "{pattern}");
        }
    }
}
