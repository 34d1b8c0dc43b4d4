//! Paths of the source directory that are hidden from a build: those of `.melangeignore`, and kiln's output, cache and secrets.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::exit::Failure;

/// The file of patterns, in gitignore's syntax.
const IGNORE_FILE: &str = ".melangeignore";

/// The hidden paths, relative to `source`: those of `ours` that are below it, and those that match a pattern. A hidden directory
/// includes its whole tree.
pub(crate) fn hidden<'p>(source: &Path, ours: impl IntoIterator<Item = &'p Path>) -> Result<Vec<PathBuf>> {
    let mut hidden: Vec<PathBuf> = ours.into_iter().filter_map(|path| below(source, path)).collect();
    let patterns = source.join(IGNORE_FILE);
    if patterns.is_file() {
        let mut builder = GitignoreBuilder::new(source);
        if let Some(error) = builder.add(&patterns) {
            return Err(
                Failure::usage(format!("{}: {error}", patterns.display()), "correct the pattern").into()
            );
        }
        let matcher = builder.build().with_context(|| format!("read {}", patterns.display()))?;
        walk(source, Path::new(""), &matcher, &mut hidden)?;
    }
    hidden.sort();
    hidden.dedup();
    Ok(hidden)
}

/// `path` relative to `source`, if it is below it. The source itself cannot be hidden.
pub(super) fn below(source: &Path, path: &Path) -> Option<PathBuf> {
    // The nearest existing ancestor is resolved, so that links in the path do not matter.
    let (known, rest) = path.ancestors().find_map(|ancestor| {
        let known = fs::canonicalize(ancestor).ok()?;
        Some((known, path.strip_prefix(ancestor).ok()?))
    })?;
    let full = if rest.as_os_str().is_empty() { known } else { known.join(rest) };
    full.strip_prefix(source).ok().filter(|rest| !rest.as_os_str().is_empty()).map(Path::to_owned)
}

fn walk(source: &Path, directory: &Path, matcher: &Gitignore, hidden: &mut Vec<PathBuf>) -> Result<()> {
    let full = source.join(directory);
    let entries = fs::read_dir(&full).with_context(|| format!("list {}", full.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", full.display()))?;
        let path = directory.join(entry.file_name());
        let is_dir =
            entry.file_type().with_context(|| format!("examine {}", entry.path().display()))?.is_dir();
        if matcher.matched(&path, is_dir).is_ignore() {
            hidden.push(path);
        } else if is_dir {
            walk(source, &path, matcher, hidden)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory can be made");
        for file in files {
            let path = directory.path().join(file);
            fs::create_dir_all(path.parent().expect("it is below the directory")).expect("made");
            fs::write(path, "").expect("written");
        }
        directory
    }

    #[test]
    fn patterns_are_those_of_gitignore() {
        let tree = tree(&["a.o", "src/b.o", "src/keep.o", "build/x", "docs/y"]);
        fs::write(tree.path().join(IGNORE_FILE), "*.o\n!keep.o\n/build/\n# docs\n").expect("written");
        let source = fs::canonicalize(tree.path()).expect("it exists");
        let hidden = hidden(&source, []).expect("readable");
        assert_eq!(hidden, ["a.o", "build", "src/b.o"].map(PathBuf::from));
    }

    #[test]
    fn output_and_cache_below_the_source_are_hidden_even_before_they_exist() {
        let tree = tree(&["melange.yaml", "melange-cache/x"]);
        let source = fs::canonicalize(tree.path()).expect("it exists");
        let found = hidden(&source, [&*source.join("packages"), &*source.join("melange-cache")]);
        assert_eq!(found.expect("readable"), ["melange-cache", "packages"].map(PathBuf::from));
        let outside = hidden(&source.join("melange-cache"), [&*source]);
        assert_eq!(outside.expect("readable"), Vec::<PathBuf>::new());
        // A link is resolved: its target is hidden.
        std::os::unix::fs::symlink("melange.yaml", source.join("link")).expect("linked");
        assert_eq!(
            hidden(&source, [&*source.join("link")]).expect("readable"),
            [PathBuf::from("melange.yaml")]
        );
    }
}
