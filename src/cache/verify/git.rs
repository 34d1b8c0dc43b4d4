//! git's objects: a loose one bears the hash of its content, packs and their lists end with the hash of all before.

use std::io::{self, Read};

use anyhow::{Context, Result};
use flate2::read::ZlibDecoder;
use sha1::Sha1;
use sha2::Sha256;

use super::content::{Content, hash, hex};
use crate::cache::place::Place;

/// Where repositories lie that are entries as wholes.
const REPOSITORIES: [&str; 5] =
    ["git/", "cargo/git/db/", "gomodcache/cache/vcs/", "uv/git-v0/db/", "composer/vcs/"];
/// Digits of SHA-1 and of SHA-256.
const DIGITS: [usize; 2] = [40, 64];

/// Checks an object or a pack.
pub(super) fn check(cache: &Place, path: &str) -> Result<Content> {
    if !REPOSITORIES.iter().any(|directory| path.starts_with(directory)) {
        return Ok(Content::Unknown);
    }
    let Some((_, name)) = path.rsplit_once("/objects/") else { return Ok(Content::Unknown) };
    if let Some(pack) = name.strip_prefix("pack/pack-") {
        return match pack.split_once('.') {
            Some((hash, "pack" | "idx" | "rev")) if is_hash(hash) => trailer(cache, path, hash.len() / 2),
            Some(_) | None => Ok(Content::Unknown),
        };
    }
    let hash = name.replacen('/', "", 1);
    if is_hash(&hash) && name.as_bytes()[2] == b'/' {
        loose(cache, path, &hash)
    } else {
        Ok(Content::Unknown)
    }
}

fn is_hash(text: &str) -> bool {
    DIGITS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn loose(cache: &Place, path: &str, should: &str) -> Result<Content> {
    let file = cache.file_unused(path.as_bytes()).context("open it")?.context("it is gone")?;
    Ok(match sum(ZlibDecoder::new(file), should.len() / 2) {
        Ok(is) => Content::compare(should, &hex(&is), "its name"),
        Err(_) => Content::Wrong("it cannot be unpacked".into()),
    })
}

/// The last bytes are the hash of those before.
fn trailer(cache: &Place, path: &str, bytes: usize) -> Result<Content> {
    let mut file = cache.file_unused(path.as_bytes()).context("open it")?.context("it is gone")?;
    let length = file.metadata().context("look at it")?.len();
    let Some(before) = length.checked_sub(bytes as u64) else {
        return Ok(Content::Wrong("it is cut off".into()));
    };
    let is = sum((&mut file).take(before), bytes).context("read it")?;
    let mut should = Vec::new();
    file.read_to_end(&mut should).context("read it")?;
    Ok(Content::compare(&hex(&should), &hex(&is), "its end"))
}

fn sum(from: impl Read, bytes: usize) -> io::Result<Vec<u8>> {
    if bytes == DIGITS[0] / 2 { hash::<Sha1>(from) } else { hash::<Sha256>(from) }
}
