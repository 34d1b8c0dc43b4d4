//! Verifies the objects of git: a loose one is named by its hash, packs and their indexes end with the hash of all before.

use std::io::{self, Read};

use anyhow::{Context, Result};
use flate2::read::ZlibDecoder;
use sha1::Sha1;
use sha2::Sha256;

use super::{
    content::{Content, Files, hash, hex},
    git_checkout,
    table::ECOSYSTEMS,
};

/// No loose object is longer: git packs large objects.
const MOST_LOOSE: u64 = 4 << 30;
/// Digits of SHA-1 and of SHA-256.
const DIGITS: [usize; 2] = [40, 64];

/// Checks an object or a pack.
pub(super) fn verify(files: &dyn Files, path: &str) -> Result<Content> {
    if !is_below_objects(path) {
        return Ok(Content::Unknown);
    }
    let Some((_, name)) = path.rsplit_once("/objects/") else { return Ok(Content::Unknown) };
    if let Some(pack) = name.strip_prefix("pack/pack-") {
        return match pack.split_once('.') {
            Some((hash, "pack" | "idx" | "rev")) if is_hash(hash) => trailer(files, path, hash.len() / 2),
            Some(_) | None => Ok(Content::Unknown),
        };
    }
    let hash = name.replacen('/', "", 1);
    if is_hash(&hash) && name.as_bytes()[2] == b'/' {
        loose(files, path, &hash)
    } else {
        Ok(Content::Unknown)
    }
}

/// Whether an object or a pack may lie there.
pub(super) fn is_below_objects(path: &str) -> bool {
    let below = |directory: &str| path.strip_prefix(directory).and_then(|rest| rest.strip_prefix('/'));
    let tools = || {
        ECOSYSTEMS.iter().any(|tool| {
            let rest = below(tool.directory);
            rest.is_some_and(|rest| tool.repositories.iter().any(|start| rest.starts_with(start)))
        })
    };
    path.contains("/objects/") && (below(git_checkout::DIRECTORY).is_some() || tools())
}

fn is_hash(text: &str) -> bool {
    DIGITS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn loose(files: &dyn Files, path: &str, expected: &str) -> Result<Content> {
    let Some(file) = files.file(path.as_bytes()).context("open it")? else {
        return Ok(Content::Unknown);
    };
    Ok(unpacked(file, expected, MOST_LOOSE))
}

/// Compares a compressed object with its hash. Stops where no object can be longer.
fn unpacked(packed: impl Read, expected: &str, most: u64) -> Content {
    let mut bounded = ZlibDecoder::new(packed).take(most + 1);
    match sum(&mut bounded, expected.len() / 2) {
        Ok(_) if bounded.limit() == 0 => Content::Wrong("it unpacks to more than an object".into()),
        Ok(is) => Content::compare(expected, &hex(&is), "its name"),
        Err(_) => Content::Wrong("it cannot be unpacked".into()),
    }
}

/// Compares the last bytes of a file with the hash of those before.
fn trailer(files: &dyn Files, path: &str, bytes: usize) -> Result<Content> {
    let Some(mut file) = files.file(path.as_bytes()).context("open it")? else {
        return Ok(Content::Unknown);
    };
    let length = file.metadata().context("look at it")?.len();
    let Some(before) = length.checked_sub(bytes as u64) else {
        return Ok(Content::Wrong("it is cut off".into()));
    };
    let is = sum((&mut file).take(before), bytes).context("read it")?;
    let mut expected = Vec::new();
    file.read_to_end(&mut expected).context("read it")?;
    Ok(Content::compare(&hex(&expected), &hex(&is), "its end"))
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
}
