//! npm: content by its hash (cacache), and an index that names it.
//!
//! With `--prefer-offline` npm fails if the index names a content that is missing. So a content is removed with the entries
//! of the index that name it.

use std::io::Read;

use anyhow::Result;
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use serde::Deserialize;

use super::{
    content::Files,
    expected::{Algorithm, Expected},
    model::{Ecosystem, Lock, NOTHING, References, Scope},
};

/// The directory of contents. The path below it is the hash, in three parts.
const CONTENT: &str = "_cacache/content-v2/";
/// The directory of the index.
const INDEX: &str = "_cacache/index-v5/";
/// The most bytes of a bucket: npm writes a few lines of some hundred bytes.
const MOST: u64 = 16 << 20;

pub(super) const NPM: Ecosystem = Ecosystem {
    name: "npm",
    scope: Scope::Always,
    directory: "npm",
    variables: &[("npm_config_cache", "/var/cache/melange/npm")],
    // `_npx` holds programs that a later build would run.
    keeps: &["_cacache"],
    junk: &["_cacache/tmp", "_logs", "_npx", "_update-notifier-last-checked"],
    // npm appends a line here for each use of a content.
    rewritten: &["_cacache/index-v5"],
    // Content is renamed into its place, but the index is appended to.
    lock: Lock::None,
    // The entries of the index that name a content belong to it.
    entry: "content by its hash",
    unfinished: &["_cacache/tmp/*"],
    expected,
    references: Some(References { name: integrity, index: INDEX, named }),
    ..NOTHING
};

/// A line of a bucket, after its own hash.
#[derive(Deserialize)]
struct Line {
    integrity: Option<String>,
}

fn expected(path: &[u8]) -> Expected {
    let Some(rest) = path.strip_prefix(CONTENT.as_bytes()) else { return Expected::Anything };
    for (start, algorithm) in
        [(&b"sha1/"[..], Algorithm::Sha1), (b"sha256/", Algorithm::Sha256), (b"sha512/", Algorithm::Sha512)]
    {
        if let Some(hex) = rest.strip_prefix(start) {
            let hex: Vec<u8> = hex.iter().copied().filter(|&byte| byte != b'/').collect();
            return Expected::digest(algorithm, &hex);
        }
    }
    Expected::Anything
}

/// The name that the index gives to the content at a path (Subresource Integrity: `sha512-` and base64).
fn integrity(path: &[u8]) -> Option<String> {
    let (algorithm, hex) = std::str::from_utf8(path).ok()?.strip_prefix(CONTENT)?.split_once('/')?;
    let bytes = HEXLOWER_PERMISSIVE.decode(hex.replace('/', "").as_bytes()).ok()?;
    Some(format!("{algorithm}-{}", BASE64.encode(&bytes)))
}

/// The contents that a bucket names.
fn named(files: &dyn Files, path: &[u8]) -> Result<Vec<String>> {
    let Some(file) = files.file(path)? else { return Ok(Vec::new()) };
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line.split_once('\t')?.1).ok());
    let names = lines.filter_map(|line| line.integrity);
    Ok(names.flat_map(|all| all.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect())
}
