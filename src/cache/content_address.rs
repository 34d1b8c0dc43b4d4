//! Names that are hashes of what they name: `fetch`'s sources at the top of the cache, and npm's contents.
//!
//! Who finds such a name asks for nothing else: whatever lies there is believed to be what its finder wanted. So nothing
//! gets in under one that does not hold it ([`super::txn::stage`]), and a verification looks at all of them.

use std::io::{self, Read};

use data_encoding::HEXLOWER;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512, digest::DynDigest};

/// Where npm keeps content: below its own hash, cut into three.
const NPM: &str = "npm/_cacache/content-v2/";
/// In pieces of this size a file is read.
const PIECE: usize = 256 << 10;

/// FileType a name says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nothing.
    Nothing,
    /// Its hash.
    Hash(Should),
    /// FileType no file there can be.
    Impossible,
}

/// How something is to be hashed, and what is to come out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Should {
    algorithm: Algorithm,
    hex: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

/// A hash that is being made.
pub(super) struct Checksum {
    hash: Box<dyn DynDigest>,
    should: String,
}

/// FileType the path of something that is no directory says of it.
pub(super) fn claim(path: &[u8]) -> Claim {
    let hash = |algorithm, hex: &[u8]| {
        Claim::Hash(Should { algorithm, hex: String::from_utf8_lossy(hex).to_ascii_lowercase() })
    };
    for (start, algorithm) in [(&b"sha256:"[..], Algorithm::Sha256), (b"sha512:", Algorithm::Sha512)] {
        if let Some(hex) = path.strip_prefix(start) {
            return if hex.contains(&b'/') { Claim::Impossible } else { hash(algorithm, hex) };
        }
    }
    let Some(rest) = path.strip_prefix(NPM.as_bytes()) else { return Claim::Nothing };
    for (start, algorithm) in
        [(&b"sha1/"[..], Algorithm::Sha1), (b"sha256/", Algorithm::Sha256), (b"sha512/", Algorithm::Sha512)]
    {
        if let Some(hex) = rest.strip_prefix(start) {
            return hash(algorithm, &hex.iter().copied().filter(|&byte| byte != b'/').collect::<Vec<u8>>());
        }
    }
    Claim::Nothing
}

/// Whether a directory has the place of a file that is named by its hash, or lies below it.
pub(super) fn is_taken_by_directory(path: &[u8]) -> bool {
    [&b"sha256:"[..], b"sha512:"].iter().any(|start| path.starts_with(start))
}

impl Should {
    /// Begins to hash.
    pub(super) fn begin(self) -> Checksum {
        let Self { algorithm, hex } = self;
        let hash: Box<dyn DynDigest> = match algorithm {
            Algorithm::Sha1 => Box::new(Sha1::new()),
            Algorithm::Sha256 => Box::new(Sha256::new()),
            Algorithm::Sha512 => Box::new(Sha512::new()),
        };
        Checksum { hash, should: hex }
    }

    /// Whether all that can be read is what it should be.
    pub(super) fn fits(self, mut from: impl Read) -> io::Result<bool> {
        let mut checksum = self.begin();
        let mut piece = vec![0; PIECE];
        loop {
            let length = from.read(&mut piece)?;
            if length == 0 {
                return Ok(checksum.holds());
            }
            checksum.update(&piece[..length]);
        }
    }
}

impl Checksum {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    pub(super) fn holds(self) -> bool {
        HEXLOWER.encode(&self.hash.finalize()) == self.should
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of nothing at all.
    const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const SHA1: &str = "da/39/a3ee5e6b4b0d3255bfef95601890afd80709";

    #[test]
    fn names_say_what_they_hold() {
        for (path, right) in [
            (format!("sha256:{SHA256}"), Some(true)),
            (format!("sha256:{}", SHA256.to_uppercase()), Some(true)),
            (format!("sha256:{}", SHA256.replace('e', "f")), Some(false)),
            ("sha256:".into(), Some(false)),
            ("sha512:00".into(), Some(false)),
            (format!("npm/_cacache/content-v2/sha1/{SHA1}"), Some(true)),
            (format!("npm/_cacache/content-v2/sha256/{SHA1}"), Some(false)),
            (format!("npm/_cacache/content-v2/md5/{SHA1}"), None),
            (format!("own/sha256:{SHA256}"), None),
        ] {
            let is = match claim(path.as_bytes()) {
                Claim::Nothing => None,
                Claim::Hash(should) => Some(should.fits(&b""[..]).expect("read")),
                Claim::Impossible => panic!("{path}"),
            };
            assert_eq!(is, right, "{path}");
        }
        assert_eq!(claim(b"sha256:00/x"), Claim::Impossible);
        assert!(is_taken_by_directory(b"sha512:00") && !is_taken_by_directory(b"own/sha512:00"));
    }
}
