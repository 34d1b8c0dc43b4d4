//! Maven: a local repository.

use anyhow::{Context, Result};
use sha1::Sha1;

use super::{
    content::{Content, Files, hash, hex, text},
    model::{Conflict, Ecosystem, Lock, NOTHING, Rule, Scope},
};

pub(super) const MAVEN: Ecosystem = Ecosystem {
    name: "maven",
    scope: Scope::Always,
    directory: "m2repository",
    // No variable says where it is: the pipelines maven/* link ~/.m2/repository to it.
    junk: &["**/*.lastUpdated", "**/*.part", "**/*.tmp", ".locks"],
    rewritten: &["**/resolver-status.properties", "**/maven-metadata-*.xml"],
    lock: Lock::None,
    entry: "artifact",
    units: &["**/?"],
    unfinished: &["**/*.part", "**/*.tmp"],
    // Released artifacts do not change; what is known about them does.
    conflicts: &[Conflict::of("", ".jar", Rule::First), Conflict::of("", ".pom", Rule::First)],
    digests: &[""],
    verify,
    ..NOTHING
};

/// Maven keeps what the repository said beside each artifact.
fn verify(files: &dyn Files, path: &str) -> Result<Content> {
    let name = path.rsplit('/').next().unwrap_or_default();
    if !path.starts_with("m2repository/") || name.ends_with(".sha1") || name.starts_with("maven-metadata") {
        return Ok(Content::Unknown);
    }
    let Some(text) = text(files, &format!("{path}.sha1"))? else { return Ok(Content::Unknown) };
    // Some repositories put the name behind it.
    let expected = text.split_ascii_whitespace().next().unwrap_or_default();
    if expected.len() != 40 || !expected.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Content::Unknown);
    }
    let Some(file) = files.file(path.as_bytes()).context("open it")? else {
        return Ok(Content::Unknown);
    };
    let is = hex(&hash::<Sha1>(file).context("read it")?);
    Ok(Content::compare(expected, &is, "the .sha1 beside it"))
}
