//! Compares the files of a cache with the content that their name, index or checksum promises.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use anyhow::{Context, Result};

use super::{
    content::{Content, Files},
    expected::Expected,
    fetch, git, go,
    model::Ecosystem,
    table,
};

/// Why a file that is mostly holes is wrong.
const HOLLOW: &str = "it is mostly holes, and is not read";

/// The content that the path of an entry promises, if it is no directory.
pub fn expected(path: &[u8]) -> Expected {
    match table::of(Path::new(OsStr::from_bytes(path))) {
        Some((Ecosystem { expected, .. }, rest)) => expected(rest.as_os_str().as_bytes()),
        None => fetch::expected(path),
    }
}

/// The verdict on a file, whose path is given from the top of the cache.
///
/// # Errors
/// When it, its index or its checksum cannot be read.
pub fn verify(files: &dyn Files, path: &str) -> Result<Content> {
    if is_read_whole(path) && is_mostly_holes(files, path)? {
        return Ok(Content::Wrong(HOLLOW.into()));
    }
    for rule in [by_name, by_tool, git::verify] {
        let content = rule(files, path)?;
        if content != Content::Unknown {
            return Ok(content);
        }
    }
    Ok(Content::Unknown)
}

fn is_mostly_holes(files: &dyn Files, path: &str) -> Result<bool> {
    let file = files.file(path.as_bytes()).context("open it")?;
    file.map_or(Ok(false), |file| files.is_mostly_holes(&file))
}

/// Whether a rule reads all of the file.
fn is_read_whole(path: &str) -> bool {
    let has_digest = || {
        let (tool, rest) = table::of(Path::new(path))?;
        let rest = rest.to_str()?;
        Some(tool.digests.iter().any(|below| rest.starts_with(below)))
    };
    expected(path.as_bytes()) != Expected::Anything
        || has_digest().unwrap_or(false)
        || git::is_below_objects(path)
}

fn by_name(files: &dyn Files, path: &str) -> Result<Content> {
    let fits = match expected(path.as_bytes()) {
        Expected::Anything => return Ok(Content::Unknown),
        Expected::NoFile => false,
        Expected::Digest(digest) => match files.file(path.as_bytes()).context("open it")? {
            // It has gone meanwhile.
            None => return Ok(Content::Unknown),
            Some(file) => digest.fits(file).context("read it")?,
        },
    };
    Ok(if fits { Content::Right } else { Content::Wrong("its name says otherwise".into()) })
}

fn by_tool(files: &dyn Files, path: &str) -> Result<Content> {
    match table::of(Path::new(path)) {
        Some((Ecosystem { verify, .. }, _)) => verify(files, path),
        // A cache may be Go's alone.
        None => go::verify(files, path),
    }
}
