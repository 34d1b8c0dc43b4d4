//! Cargo: crates, repositories and the index. Only these directories of a `CARGO_HOME` lie in the cache.
//!
//! The index, which lies beside the crates, has the SHA-256 of each. A file of the index's cache (cargo,
//! `sources/registry/index/cache.rs`) has a head, and then version and JSON of each release, each ended by a NUL. A part
//! that is not understood is passed over.

use std::io::Read;

use anyhow::{Context, Result};
use serde::Deserialize;
use sha2::Sha256;

use super::{
    content::{Content, Files, hash, hex},
    model::{Conflict, Ecosystem, NOTHING, Rule, Scope},
};

/// The longest files of the index have some megabytes.
const MOST: u64 = 64 << 20;

/// Its directory in the cache: `CARGO_HOME` seen from there.
pub const DIRECTORY: &str = "cargo";
/// The directories of a `CARGO_HOME` that persist.
pub const PERSISTS: [&str; 2] = ["registry", "git"];

pub(super) const CARGO: Ecosystem = Ecosystem {
    name: "cargo",
    scope: Scope::Always,
    directory: DIRECTORY,
    variables: &[("CARGO_HOME", "/var/cache/melange/cargo")],
    // Programs (`bin`), configuration and credentials belong to one build; `registry/src` is unpacked from `registry/cache`.
    keeps: &["registry/index", "registry/cache", "git/db"],
    junk: &["**/.package-cache*", "**/*.lock"],
    rewritten: &["registry/index/*/.last-updated", "registry/index/*/config.json"],
    entry: "crate",
    units: &[
        "registry/cache/*/*.crate",
        "registry/src/*/*/",
        "git/db/*/",
        "git/checkouts/*/",
        // A registry that is a repository.
        "registry/index/*/.git/",
    ],
    // Crates bear their version, what is unpacked from them too; databases and indexes change.
    conflicts: &[
        Conflict::of("registry/cache/", "", Rule::First),
        Conflict::of("registry/src/", "", Rule::First),
        Conflict::of("git/db/", "", Rule::Last),
        Conflict::of("git/checkouts/", "", Rule::First),
    ],
    persists: &PERSISTS,
    repositories: &["git/db/"],
    digests: &["registry/cache/"],
    verify,
    ..NOTHING
};

/// A release as the index lists it.
#[derive(Deserialize)]
struct Release {
    vers: String,
    cksum: String,
}

/// Checks a crate.
fn verify(files: &dyn Files, path: &str) -> Result<Content> {
    let name = path.strip_prefix("cargo/registry/cache/").and_then(|rest| rest.strip_suffix(".crate"));
    let Some((registry, release)) = name.and_then(|name| name.split_once('/')) else {
        return Ok(Content::Unknown);
    };
    // Both names and versions have hyphens; a version begins with a digit.
    let cuts = release.match_indices('-').map(|(at, _)| (&release[..at], &release[at + 1..]));
    for (name, version) in cuts.filter(|(_, version)| version.starts_with(|char: char| char.is_ascii_digit()))
    {
        let Some(expected) = checksum(files, registry, name, version)? else { continue };
        let Some(file) = files.file(path.as_bytes()).context("open it")? else {
            return Ok(Content::Unknown);
        };
        return Ok(Content::compare(&expected, &hex(&hash::<Sha256>(file).context("read it")?), "the index"));
    }
    Ok(Content::Unknown)
}

fn checksum(files: &dyn Files, registry: &str, name: &str, version: &str) -> Result<Option<String>> {
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
    let Some(file) = files.file(path.as_bytes()).context("open the index")? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).context("read the index")?;
    let releases = bytes.split(|byte| *byte == 0).filter(|part| part.first() == Some(&b'{'));
    let mut parsed = releases.filter_map(|json| serde_json::from_slice::<Release>(json).ok());
    Ok(parsed.find(|release| release.vers == version).map(|release| release.cksum))
}
