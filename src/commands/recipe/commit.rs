//! The commit of a build file: that of the repository in which it lies.
//!
//! git is not run, since a repository can name programs that git starts. The few files are read here instead, with limits.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::input;

/// The commit of a build file that lies in no repository, or in one without commits.
pub(super) const UNKNOWN: &str = "unknown";

/// The longest name of a reference, with `ref: ` before it: git's own limit is that of a path.
const MAX_HEAD: usize = 4_096;
/// The largest list of packed references; one of 100,000 has 6 MiB.
const MAX_PACKED: usize = 64 << 20;

/// The commit at the HEAD of the repository with this file; `None` where there is none.
pub(super) fn of_file(file: &Path) -> Option<String> {
    let file = std::path::absolute(file).ok()?;
    let root = file.ancestors().skip(1).find(|directory| directory.join(".git").exists())?;
    let git = git_directory(root)?;
    let head = text(&git.join("HEAD"), MAX_HEAD)?;
    match head.trim().strip_prefix("ref:") {
        None => commit(&head),
        Some(name) => reference(&git, name.trim()),
    }
}

/// The directory of the repository: `.git`, or the one that a file `.git` names (a work tree, a submodule).
fn git_directory(root: &Path) -> Option<PathBuf> {
    let git = root.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let named = text(&git, MAX_HEAD)?;
    Some(root.join(named.trim().strip_prefix("gitdir:")?.trim()))
}

/// The commit of a reference, which lies in a file of its own or in the list of packed ones. A work tree shares those of its
/// repository.
fn reference(git: &Path, name: &str) -> Option<String> {
    let is_plain = name.starts_with("refs/") && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !is_plain {
        return None;
    }
    let shared = text(&git.join("commondir"), MAX_HEAD).map(|path| git.join(path.trim()));
    let places = || std::iter::once(git).chain(shared.as_deref());
    let loose = places().find_map(|place| commit(&text(&place.join(name), MAX_HEAD)?));
    loose.or_else(|| places().find_map(|place| packed(&text(&place.join("packed-refs"), MAX_PACKED)?, name)))
}

fn packed(list: &str, name: &str) -> Option<String> {
    let mut pairs = list.lines().filter_map(|line| line.split_once(' '));
    pairs.find(|(_, known)| *known == name).and_then(|(digest, _)| commit(digest))
}

/// The digest of a commit: SHA-1 or SHA-256.
fn commit(text: &str) -> Option<String> {
    let text = text.trim();
    let is_digest = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| text.to_ascii_lowercase())
}

/// The text of a regular file that has no more than `most` bytes.
fn text(path: &Path, most: usize) -> Option<String> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let bytes = input::read(path, most).ok().filter(|bytes| bytes.len() <= most)?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "0123456789abcdef0123456789abcdef01234567";
    const SECOND: &str = "89abcdef0123456789abcdef0123456789abcdef";

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().expect("it has a parent")).expect("made");
        fs::write(path, text).expect("written");
    }

    #[test]
    fn the_commit_of_head_is_found_from_a_directory_below() {
        let root = tempfile::tempdir().expect("a scratch directory");
        let git = root.path().join(".git");
        let file = root.path().join("a/b/p.yaml");
        write(&file, "");
        write(&git.join("HEAD"), "ref: refs/heads/main\n");
        assert_eq!(of_file(&file), None);
        write(&git.join("packed-refs"), &format!("# pack-refs\n{FIRST} refs/heads/main\n^{SECOND}\n"));
        assert_eq!(of_file(&file).as_deref(), Some(FIRST));
        write(&git.join("refs/heads/main"), &format!("{SECOND}\n"));
        assert_eq!(of_file(&file).as_deref(), Some(SECOND));
        write(&git.join("HEAD"), &format!("{FIRST}\n"));
        assert_eq!(of_file(&file).as_deref(), Some(FIRST));
    }

    #[test]
    fn a_work_tree_has_a_head_of_its_own_and_the_references_of_its_repository() {
        let root = tempfile::tempdir().expect("a scratch directory");
        let (tree, git) = (root.path().join("tree"), root.path().join("main/.git"));
        write(&tree.join(".git"), &format!("gitdir: {}\n", git.join("worktrees/tree").display()));
        write(&git.join("worktrees/tree/HEAD"), "ref: refs/heads/side\n");
        write(&git.join("worktrees/tree/commondir"), "../..\n");
        write(&git.join("refs/heads/side"), FIRST);
        assert_eq!(of_file(&tree.join("p.yaml")).as_deref(), Some(FIRST));
    }

    #[test]
    fn what_is_no_commit_is_not_taken() {
        let root = tempfile::tempdir().expect("a scratch directory");
        let git = root.path().join(".git");
        let file = root.path().join("p.yaml");
        write(&root.path().join("secret"), FIRST);
        for head in ["ref: ../secret", "ref: refs/../../secret", "secret", "", "ref: refs/heads/absent"] {
            write(&git.join("HEAD"), head);
            assert_eq!(of_file(&file), None, "{head}");
        }
    }
}
