//! The cache directory on the host: made where it is missing, measured before and after a build.

mod measure;

use std::{
    fs,
    path::{Path, PathBuf, absolute},
};

use anyhow::Context;

use crate::exit::{Code, Failure};

pub use measure::{Measured, measure, report};

/// The directory that `--cache-dir` names, absolute and existing; `None` for "".
///
/// # Errors
/// A cache failure (7) when it is a file, or cannot be made.
pub fn directory(written: &str) -> anyhow::Result<Option<PathBuf>> {
    if written.is_empty() {
        return Ok(None);
    }
    let path = absolute(Path::new(written)).with_context(|| format!("resolve --cache-dir {written}"))?;
    if path.exists() && !path.is_dir() {
        return Err(Failure::new(
            Code::Cache,
            format!("--cache-dir: {} is not a directory", path.display()),
            "name a directory, or \"\" for no cache",
        )
        .into());
    }
    fs::create_dir_all(&path).with_context(|| unusable(&path))?;
    let path = fs::canonicalize(&path).with_context(|| unusable(&path))?;
    fs::read_dir(&path).with_context(|| unusable(&path))?;
    Ok(Some(path))
}

fn unusable(path: &Path) -> Failure {
    Failure::new(
        Code::Cache,
        format!("--cache-dir: {} cannot be used", path.display()),
        "make it readable, or name another one",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::code_of;

    #[test]
    fn a_missing_directory_is_made_and_links_are_followed() {
        let parent = tempfile::tempdir().expect("a directory can be made");
        let path = parent.path().join("a, b/c");
        let made = directory(path.to_str().expect("UTF-8")).expect("made").expect("not empty");
        assert!(made.is_dir());
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert_eq!(directory(link.to_str().expect("UTF-8")).expect("found"), Some(made));
    }

    #[test]
    fn a_file_is_an_error_of_the_cache_and_the_empty_name_is_none() {
        let file = tempfile::NamedTempFile::new().expect("a file can be made");
        let error = directory(file.path().to_str().expect("UTF-8")).expect_err("a file");
        assert_eq!(code_of(&error), Code::Cache);
        assert_eq!(directory("").expect("none"), None);
    }
}
