//! Checks a directory before it is used as a cache: apart from kiln's own, and writable if a build is to write. Changes
//! nothing.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, access};

use super::{
    dir::{BeneathDir, split},
    lease::PRIVATE,
    txn::open_cache::OpenCache,
};
use crate::{
    ecosystem::persistent_directories,
    exit::{Code, Failure},
    home::Home,
};

/// Refuses a directory that contains kiln's own, or lies in it: builds would write where leases and journals are, and a prune
/// would remove images.
///
/// # Errors
/// A cache failure (7).
pub fn apart(home: &Home, directory: &Path) -> Result<(), Failure> {
    let root = resolved(home.root());
    let own = directory.starts_with(&root) && !directory.starts_with(root.join(PRIVATE));
    if own || root.starts_with(directory) {
        let what = format!(
            "the cache {} and kiln's own directory {} lie one in the other",
            directory.display(),
            root.display()
        );
        return Err(Failure::new(Code::Cache, what, "name another one with --cache-dir, or set KILN_HOME"));
    }
    Ok(())
}

/// The path with its links resolved, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    for at in path.ancestors() {
        if let Ok(found) = fs::canonicalize(at) {
            return missing.iter().rev().fold(found, |path, name| path.join(name));
        }
        missing.extend(at.file_name());
    }
    path.to_owned()
}

/// Refuses a cache with a link or file in the place of a directory that builds have mounts on: a mount must not follow a link
/// that an earlier build has left.
///
/// # Errors
/// A cache failure (7).
pub fn mountable(cache: &OpenCache) -> Result<(), Failure> {
    check_mountable(&cache.root, &cache.directory)
}

fn check_mountable(cache: &BeneathDir, directory: &Path) -> Result<(), Failure> {
    // The outermost one first: nothing is looked at below a link.
    for path in persistent_directories().rev() {
        if is_in_the_place_of_a_directory(cache, &path).unwrap_or(true) {
            return Err(Failure::new(
                Code::Cache,
                format!(
                    "{} is no directory, and a link in its place is not followed",
                    directory.join(&path).display()
                ),
                "kiln cache verify --repair removes it",
            ));
        }
    }
    Ok(())
}

fn is_in_the_place_of_a_directory(cache: &BeneathDir, path: &str) -> io::Result<bool> {
    let (parent, name) = split(path.as_bytes());
    let Some(parent) = cache.dir(parent)? else { return Ok(false) };
    Ok(parent.stat(name)?.is_some() && parent.dir(name)?.is_none())
}

/// Refuses a directory that this user cannot write, before a build runs in vain.
///
/// # Errors
/// A cache failure (7).
pub fn writable(directory: &Path) -> Result<(), Failure> {
    access(directory, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|error| {
        Failure::new(
            Code::Cache,
            format!("the cache {} cannot be written: {}", directory.display(), error.desc()),
            "make it writable, name another one with --cache-dir, or keep nothing: --cache-mode discard",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_and_kilns_own_directory_lie_apart() {
        let work = tempfile::tempdir().expect("a directory");
        let work = fs::canonicalize(work.path()).expect("it is there");
        fs::create_dir_all(work.join("real/cache")).expect("made");
        std::os::unix::fs::symlink(work.join("real"), work.join("link")).expect("linked");
        let home = |path: &str| Home::at(work.join(path));
        for (own, cache, fits) in [
            ("real/kiln", "real", false),
            ("link/kiln", "real", false),
            ("real", "real", false),
            ("real", "real/cache", false),
            ("real", "real/private/8-1/1", true),
            ("real/kiln", "real/cache", true),
            ("real/cache-of-kiln", "real/cache", true),
        ] {
            let told = apart(&home(own), &work.join(cache));
            assert_eq!(told.is_ok(), fits, "{own} and {cache}: {told:?}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_refused() {
        let failure = writable(Path::new("/proc/self")).expect_err("it is not writable");
        assert_eq!(failure.code, Code::Cache);
        assert!(writable(&std::env::temp_dir()).is_ok());
    }

    #[test]
    fn a_link_in_the_place_of_a_directory_with_mounts_is_refused() {
        for (link, target) in
            [("cargo", "/proc"), ("cargo", "other"), ("cargo/registry", "/proc"), ("cargo/git", "registry")]
        {
            let work = tempfile::tempdir().expect("a directory");
            let fits = || check_mountable(&BeneathDir::open(work.path()).expect("opened"), work.path());
            assert_eq!(fits().map_err(|failure| failure.code), Ok(()));
            fs::create_dir_all(work.path().join(link)).expect("made");
            assert_eq!(fits().map_err(|failure| failure.code), Ok(()));
            fs::remove_dir(work.path().join(link)).expect("removed");
            std::os::unix::fs::symlink(target, work.path().join(link)).expect("linked");
            let failure = fits().expect_err("a link is there");
            assert_eq!(failure.code, Code::Cache);
            assert!(failure.to_string().contains(&format!("/{link} is no directory")), "{failure}");
        }
    }
}
