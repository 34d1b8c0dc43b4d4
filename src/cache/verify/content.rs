//! Which files of a cache say what they hold, and whether that is true: one table of rules, each a function of a path.

use std::io::{self, Read};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use sha1::Sha1;
use sha2::Digest;

use super::{cargo, git, go};
use crate::cache::{
    content_address::{self, Claim},
    dir::{
        BeneathDir,
        holes::{MOST_HOLES, holes},
    },
};

/// In pieces of this size a file is read.
const PIECE: usize = 256 << 10;
/// Why such a file is wrong.
const HOLLOW: &str = "it is mostly holes, and is not read";
/// No file that holds a checksum is longer.
const CHECKSUM_FILE: u64 = 4096;

/// FileType was found out about a file.
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
pub(super) fn of(cache: &BeneathDir, path: &str) -> Result<Content> {
    if is_judged(path) && is_hollow(cache, path)? {
        return Ok(Content::Wrong(HOLLOW.into()));
    }
    for rule in [named, maven, go::check, cargo::check, git::check] {
        let content = rule(cache, path)?;
        if content != Content::Unknown {
            return Ok(content);
        }
    }
    Ok(Content::Unknown)
}

/// Whether a file is mostly holes, which nobody reads to their end.
fn is_hollow(cache: &BeneathDir, path: &str) -> Result<bool> {
    let Some(file) = cache.file_unused(path.as_bytes()).context("open it")? else { return Ok(false) };
    Ok(holes(&file, &file.metadata().context("look at it")?)? > MOST_HOLES)
}

/// Whether a rule below reads all of what lies there.
fn is_judged(path: &str) -> bool {
    let below = ["m2repository/", "cargo/registry/cache/"];
    content_address::claim(path.as_bytes()) != Claim::Nothing
        || below.iter().any(|directory| path.starts_with(directory))
        || git::is_below_objects(path)
}

/// FileType bears its hash as its name.
fn named(cache: &BeneathDir, path: &str) -> Result<Content> {
    let right = match content_address::claim(path.as_bytes()) {
        Claim::Nothing => return Ok(Content::Unknown),
        Claim::Impossible => false,
        Claim::Hash(should) => match cache.file_unused(path.as_bytes()).context("open it")? {
            // It has gone meanwhile.
            None => return Ok(Content::Unknown),
            Some(file) => should.fits(file).context("read it")?,
        },
    };
    Ok(if right { Content::Right } else { Content::Wrong("its name says otherwise".into()) })
}

/// Maven keeps what the repository said beside each artifact.
fn maven(cache: &BeneathDir, path: &str) -> Result<Content> {
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
    let Some(file) = cache.file_unused(path.as_bytes()).context("open it")? else {
        return Ok(Content::Unknown);
    };
    let is = hex(&hash::<Sha1>(file).context("read it")?);
    Ok(Content::compare(should, &is, "the .sha1 beside it"))
}

/// The text of a small file.
pub(super) fn text(cache: &BeneathDir, path: &str) -> Result<Option<String>> {
    let Some(file) = cache.file_unused(path.as_bytes()).context("open it")? else { return Ok(None) };
    let mut text = Vec::new();
    file.take(CHECKSUM_FILE).read_to_end(&mut text).with_context(|| format!("read {path:?}"))?;
    Ok(String::from_utf8(text).ok())
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
    HEXLOWER.encode(bytes)
}
