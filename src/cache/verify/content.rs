//! Which files of a cache say what they hold, and whether that is true: one table of rules, each a function of a path.

use std::io::{self, Read};

use anyhow::{Context, Result};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::{cargo, git, go};
use crate::cache::place::Place;

/// In pieces of this size a file is read.
const PIECE: usize = 256 << 10;
/// No file that holds a checksum is longer.
const CHECKSUM_FILE: u64 = 4096;

/// What was found out about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// Nobody says what it should be.
    Unknown,
    /// It is what it should be.
    Right,
    /// It is not; in what way.
    Wrong(String),
}

impl Content {
    /// By the hash that it should have and the one that it has.
    pub(super) fn compare(should: &str, is: &str, who: &str) -> Self {
        if should.eq_ignore_ascii_case(is) {
            Self::Right
        } else {
            Self::Wrong(format!("{who} says otherwise"))
        }
    }
}

/// Says what of a file, whose path is given from the top of the cache.
pub(super) fn of(cache: &Place, path: &str) -> Result<Content> {
    for rule in [source, npm, maven, go::check, cargo::check, git::check] {
        let content = rule(cache, path)?;
        if content != Content::Unknown {
            return Ok(content);
        }
    }
    Ok(Content::Unknown)
}

/// What `fetch` has proven, at the top of the cache.
fn source(cache: &Place, path: &str) -> Result<Content> {
    let name = "its name";
    Ok(match path.split_once(':') {
        Some(("sha256", hex)) => Content::compare(hex, &digest::<Sha256>(cache, path)?, name),
        Some(("sha512", hex)) => Content::compare(hex, &digest::<Sha512>(cache, path)?, name),
        Some(_) | None => Content::Unknown,
    })
}

/// npm keeps content below its own hash, cut into three.
fn npm(cache: &Place, path: &str) -> Result<Content> {
    let Some(rest) = path.strip_prefix("npm/_cacache/content-v2/") else { return Ok(Content::Unknown) };
    let Some((algorithm, hex)) = rest.split_once('/') else { return Ok(Content::Unknown) };
    let is = match algorithm {
        "sha1" => digest::<Sha1>(cache, path)?,
        "sha256" => digest::<Sha256>(cache, path)?,
        "sha512" => digest::<Sha512>(cache, path)?,
        _ => return Ok(Content::Unknown),
    };
    Ok(Content::compare(&hex.replace('/', ""), &is, "its name"))
}

/// Maven keeps what the repository said beside each artifact.
fn maven(cache: &Place, path: &str) -> Result<Content> {
    let name = path.rsplit('/').next().unwrap_or_default();
    if !path.starts_with("m2repository/") || name.ends_with(".sha1") || name.starts_with("maven-metadata") {
        return Ok(Content::Unknown);
    }
    let Some(text) = text(cache, &format!("{path}.sha1"))? else { return Ok(Content::Unknown) };
    // Some repositories put the name behind it.
    let should = text.split_ascii_whitespace().next().unwrap_or_default();
    if should.len() != 40 || !should.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Content::Unknown);
    }
    Ok(Content::compare(should, &digest::<Sha1>(cache, path)?, "the .sha1 beside it"))
}

/// The text of a small file.
pub(super) fn text(cache: &Place, path: &str) -> Result<Option<String>> {
    let Some(file) = cache.file_unused(path.as_bytes()).context("open it")? else { return Ok(None) };
    let mut text = Vec::new();
    file.take(CHECKSUM_FILE).read_to_end(&mut text).with_context(|| format!("read {path:?}"))?;
    Ok(String::from_utf8(text).ok())
}

/// A file's hash, in hex.
fn digest<D: Digest>(cache: &Place, path: &str) -> Result<String> {
    let Some(file) = cache.file_unused(path.as_bytes()).context("open it")? else { return Ok(String::new()) };
    Ok(hex(&hash::<D>(file).context("read it")?))
}

/// The hash of all that can be read.
pub(super) fn hash<D: Digest>(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut hash = D::new();
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece)?;
        if length == 0 {
            return Ok(hash.finalize().to_vec());
        }
        hash.update(&piece[..length]);
    }
}

/// Two digits a byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
