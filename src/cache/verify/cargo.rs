//! Cargo's crates: the index, which lies beside them, has the SHA-256 of each.
//!
//! A file of the index's cache (cargo, `sources/registry/index/cache.rs`) has a head, and then version and JSON of each
//! release, each ended by a NUL. FileType is not understood says nothing.

use std::io::Read;

use anyhow::{Context, Result};
use serde::Deserialize;
use sha2::Sha256;

use super::content::{Content, hash, hex};
use crate::cache::dir::BeneathDir;

/// The longest files of the index have some megabytes.
const MOST: u64 = 64 << 20;

/// FileType the index says of a release.
#[derive(Deserialize)]
struct Release {
    vers: String,
    cksum: String,
}

/// Checks a crate.
pub(super) fn check(cache: &BeneathDir, path: &str) -> Result<Content> {
    let name = path.strip_prefix("cargo/registry/cache/").and_then(|rest| rest.strip_suffix(".crate"));
    let Some((registry, release)) = name.and_then(|name| name.split_once('/')) else {
        return Ok(Content::Unknown);
    };
    // Both names and versions have hyphens; a version begins with a digit.
    let cuts = release.match_indices('-').map(|(at, _)| (&release[..at], &release[at + 1..]));
    for (name, version) in cuts.filter(|(_, version)| version.starts_with(|char: char| char.is_ascii_digit()))
    {
        let Some(should) = checksum(cache, registry, name, version)? else { continue };
        let Some(file) = cache.file_unused(path.as_bytes()).context("open it")? else {
            return Ok(Content::Unknown);
        };
        return Ok(Content::compare(&should, &hex(&hash::<Sha256>(file).context("read it")?), "the index"));
    }
    Ok(Content::Unknown)
}

fn checksum(cache: &BeneathDir, registry: &str, name: &str, version: &str) -> Result<Option<String>> {
    let name = name.to_ascii_lowercase();
    if !name.is_ascii() {
        return Ok(None);
    }
    let directory = match name.len() {
        0 => return Ok(None),
        1 => "1".into(),
        2 => "2".into(),
        3 => format!("3/{}", &name[..1]),
        _ => format!("{}/{}", &name[..2], &name[2..4]),
    };
    let path = format!("cargo/registry/index/{registry}/.cache/{directory}/{name}");
    let Some(file) = cache.file_unused(path.as_bytes()).context("open the index")? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).context("read the index")?;
    let releases = bytes.split(|byte| *byte == 0).filter(|part| part.first() == Some(&b'{'));
    let mut parsed = releases.filter_map(|json| serde_json::from_slice::<Release>(json).ok());
    Ok(parsed.find(|release| release.vers == version).map(|release| release.cksum))
}
