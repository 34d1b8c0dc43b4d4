//! git's objects: a loose one bears the hash of its content, packs and their lists end with the hash of all before.

use std::io::{self, Read};

use anyhow::{Context, Result};
use flate2::read::ZlibDecoder;
use sha1::Sha1;
use sha2::Sha256;

use super::content::{Content, hash, hex};
use crate::cache::dir::BeneathDir;

/// Where repositories lie that are entries as wholes.
const REPOSITORIES: [&str; 5] =
    ["git/", "cargo/git/db/", "gomodcache/cache/vcs/", "uv/git-v0/db/", "composer/vcs/"];
/// No loose object is longer: git packs what is large.
const MOST_LOOSE: u64 = 4 << 30;
/// Digits of SHA-1 and of SHA-256.
const DIGITS: [usize; 2] = [40, 64];

/// Checks an object or a pack.
pub(super) fn check(cache: &BeneathDir, path: &str) -> Result<Content> {
    if !is_below_objects(path) {
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

/// Whether an object or a pack may lie there.
pub(super) fn is_below_objects(path: &str) -> bool {
    REPOSITORIES.iter().any(|directory| path.starts_with(directory)) && path.contains("/objects/")
}

fn is_hash(text: &str) -> bool {
    DIGITS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn loose(cache: &BeneathDir, path: &str, should: &str) -> Result<Content> {
    let Some(file) = cache.file_unused(path.as_bytes()).context("open it")? else {
        return Ok(Content::Unknown);
    };
    Ok(unpacked(file, should, MOST_LOOSE))
}

/// Compares an object that is packed with what it should be. A bomb ends where no object can be longer.
fn unpacked(packed: impl Read, should: &str, most: u64) -> Content {
    let mut bounded = ZlibDecoder::new(packed).take(most + 1);
    match sum(&mut bounded, should.len() / 2) {
        Ok(_) if bounded.limit() == 0 => Content::Wrong("it unpacks to more than an object".into()),
        Ok(is) => Content::compare(should, &hex(&is), "its name"),
        Err(_) => Content::Wrong("it cannot be unpacked".into()),
    }
}

/// The last bytes are the hash of those before.
fn trailer(cache: &BeneathDir, path: &str, bytes: usize) -> Result<Content> {
    let Some(mut file) = cache.file_unused(path.as_bytes()).context("open it")? else {
        return Ok(Content::Unknown);
    };
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::ZlibEncoder};
    use sha1::Digest;

    use super::*;

    #[test]
    fn an_object_is_unpacked_no_further_than_one_can_be_long() {
        let object = b"blob 100\0".iter().chain(&[0; 100]).copied().collect::<Vec<u8>>();
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&object).expect("written");
        let packed = packed.finish().expect("packed");
        let name = hex(&Sha1::digest(&object));
        let length = object.len() as u64;
        assert_eq!(unpacked(&packed[..], &name, length), Content::Right);
        let Content::Wrong(why) = unpacked(&packed[..], &name, length - 1) else { panic!("it is too long") };
        assert_eq!(why, "it unpacks to more than an object");
    }

    #[test]
    fn what_goes_meanwhile_is_no_fault() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = BeneathDir::open(directory.path()).expect("opened");
        let hash = "0".repeat(40);
        for path in [
            format!("git/x/objects/00/{}", &hash[2..]),
            format!("git/x/objects/pack/pack-{hash}.pack"),
            format!("sha256:{hash}"),
            format!("npm/_cacache/content-v2/sha1/00/00/{}", &hash[4..]),
        ] {
            assert_eq!(super::super::content::of(&cache, &path).expect("looked"), Content::Unknown, "{path}");
        }
        std::fs::create_dir_all(directory.path().join("m2repository/a/1")).expect("made");
        std::fs::write(directory.path().join("m2repository/a/1/a-1.jar.sha1"), &hash).expect("written");
        let jar = super::super::content::of(&cache, "m2repository/a/1/a-1.jar").expect("looked");
        assert_eq!(jar, Content::Unknown);
    }
}
