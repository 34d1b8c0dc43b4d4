//! `kiln license-check`: the licences in a tree of sources, and what a build file declares of them.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::query;
use crate::{
    cli::{LicenseCheckArgs, ScanType},
    exit::{Code, Failure},
    input,
    package::license::{Depth, Detected, MOST_BYTES, MOST_FILES, detect, differences, is_license_file},
    plan::License,
    report,
};

/// The largest file, in bytes; the longest licences have 100 KiB.
const MOST_OF_FILE: usize = 1 << 20;
/// The most names that are looked at.
const MOST_NAMES: usize = 1 << 20;

/// Prints the licences of all files; a difference from the build file is a warning, as in melange.
pub(super) fn run(args: &LicenseCheckArgs) -> Result<Code> {
    let LicenseCheckArgs { source, workdir, scan_type } = args;
    let depth = match scan_type {
        ScanType::Shallow => Depth::Shallow,
        ScanType::Deep => Depth::Deep,
    };
    let (tree, licenses) = match (source.is_dir(), workdir) {
        (true, None) => (source, None),
        (false, Some(workdir)) => {
            let package = query::recipe(source)?.package;
            (workdir, Some(package.copyright.iter().map(License::of).collect::<Vec<License>>()))
        }
        (true, Some(_)) => {
            return Err(Failure::usage("--workdir is for a build file", "Leave it out.").into());
        }
        (false, None) if !source.exists() => {
            let what = format!("{} does not exist", source.display());
            return Err(Failure::usage(what, "Name a directory of sources, or a build file.").into());
        }
        (false, None) => {
            let what = format!("{} needs its sources: kiln unpacks none on the host", source.display());
            return Err(Failure::usage(what, "Name their directory with --workdir DIR.").into());
        }
    };
    let texts = texts(tree, &paths(tree, depth, licenses.as_deref().unwrap_or_default())?);
    let contents: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
    for ((path, _), detected) in texts.iter().zip(detect(&contents)) {
        report::print(&describe(path, &detected))?;
        for difference in licenses.iter().flat_map(|licenses| differences(licenses, path, &detected)) {
            report::to_stderr(&format!("warning: {difference}\n"));
        }
    }
    Ok(Code::Success)
}

fn describe(path: &str, detected: &[Detected]) -> String {
    let mut text = report::name(path);
    text.push(':');
    if detected.is_empty() {
        text += " unknown";
    }
    for (index, Detected { name, percent }) in detected.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(text, "{comma} {name} ({percent} %)").expect("writing to a string");
    }
    text.push('\n');
    text
}

/// The files of a tree whose names are those of licences, and those that a build file names, sorted by their depth.
fn paths(tree: &Path, depth: Depth, licenses: &[License]) -> Result<Vec<String>> {
    let mut found: Vec<String> = licenses.iter().filter_map(|license| license.path.clone()).collect();
    let (mut names, mut directories) = (MOST_NAMES, vec![(tree.to_owned(), String::new(), 0)]);
    while let Some((directory, prefix, level)) = directories.pop() {
        let listed = fs::read_dir(&directory);
        if level == 0
            && let Err(error) = &listed
        {
            let what = format!("{}: {error}", directory.display());
            return Err(Failure::usage(what, "Name a directory with sources.").into());
        }
        // A directory below that cannot be listed has no licence to compare.
        for entry in listed.into_iter().flatten().flatten() {
            let Some(left) = names.checked_sub(1) else { break };
            names = left;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Links are not followed.
            let Ok(kind) = entry.file_type() else { continue };
            let path = format!("{prefix}{name}");
            if kind.is_dir() && (level == 0 || depth == Depth::Deep) {
                directories.push((entry.path(), format!("{path}/"), level + 1));
            } else if kind.is_file() && is_license_file(&path, depth) && !found.contains(&path) {
                found.push(path);
            }
        }
    }
    found.sort_by_key(|path| (path.matches('/').count(), path.clone()));
    found.truncate(MOST_FILES);
    Ok(found)
}

/// The texts of files; one that cannot be read, or that is too long, is left out with a warning.
fn texts(tree: &Path, paths: &[String]) -> Vec<(String, String)> {
    let (mut texts, mut left) = (Vec::new(), MOST_BYTES);
    for path in paths {
        let content = match inside(tree, path).and_then(|file| input::read(&file, MOST_OF_FILE)) {
            Ok(content) if content.len() <= MOST_OF_FILE.min(left) => content,
            Ok(_) => {
                report::to_stderr(&format!("warning: {} is too long\n", report::name(path)));
                continue;
            }
            Err(error) => {
                report::to_stderr(&format!("warning: {}: {error}\n", report::name(path)));
                continue;
            }
        };
        left -= content.len();
        texts.push((path.clone(), String::from_utf8_lossy(&content).into_owned()));
    }
    texts
}

/// A regular file of the tree, whatever links lead to it.
fn inside(tree: &Path, path: &str) -> io::Result<PathBuf> {
    let (tree, file) = (tree.canonicalize()?, tree.join(path).canonicalize()?);
    if !file.starts_with(&tree) || !file.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file of the sources"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_described_with_all_their_licences() {
        let of = |name: &str, percent| Detected { name: name.into(), percent };
        assert_eq!(describe("LICENSE", &[]), "LICENSE: unknown\n");
        let both = [of("MIT", 100), of("BSD-3-Clause", 94)];
        assert_eq!(describe("a/LICENSE", &both), "a/LICENSE: MIT (100 %), BSD-3-Clause (94 %)\n");
    }

    #[test]
    fn a_shallow_search_ends_in_the_second_directory() {
        let tree = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(tree.path().join("a/b")).expect("made");
        for path in ["LICENSE", "a/COPYING", "a/b/LICENSE", "readme"] {
            fs::write(tree.path().join(path), "text").expect("written");
        }
        std::os::unix::fs::symlink("LICENSE", tree.path().join("LICENSE-link")).expect("linked");
        let found = |depth| paths(tree.path(), depth, &[]).expect("listed");
        assert_eq!(found(Depth::Shallow), ["LICENSE", "a/COPYING"]);
        assert_eq!(found(Depth::Deep), ["LICENSE", "a/COPYING", "a/b/LICENSE"]);
        assert!(paths(&tree.path().join("missing"), Depth::Deep, &[]).is_err());
    }

    #[test]
    fn a_path_of_the_build_file_does_not_lead_out_of_the_sources() {
        let tree = tempfile::tempdir().expect("a directory");
        fs::write(tree.path().join("TERMS"), "text").expect("written");
        std::os::unix::fs::symlink("/etc/passwd", tree.path().join("out")).expect("linked");
        let named = ["TERMS", "out", "../../../../etc/passwd", "/etc/passwd", "missing"].map(String::from);
        let read = texts(tree.path(), &named);
        assert_eq!(read, [("TERMS".to_owned(), "text".to_owned())]);
    }
}
