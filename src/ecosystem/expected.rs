//! Names that promise a content: some tools name a file by the digest of its content.
//!
//! A tool that finds such a name does not read the content. So a commit refuses a file that does not hold what its name
//! promises, and a verification compares all such files.

use std::io::{self, Read};

use data_encoding::HEXLOWER;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512, digest::DynDigest};

/// Files are read in pieces of this size.
const PIECE: usize = 256 << 10;

/// The content that a name promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The file may hold anything.
    Anything,
    /// The content has this digest.
    Digest(Digest),
    /// No file may have this name.
    NoFile,
}

/// A digest, and how it is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

/// The hash functions that names are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

/// A digest that is being computed, and the one that is expected.
pub struct Checksum {
    hash: Box<dyn DynDigest>,
    expected: String,
}

impl Expected {
    /// A digest in hexadecimal digits of either case.
    pub(super) fn digest(algorithm: Algorithm, hex: &[u8]) -> Self {
        Self::Digest(Digest { algorithm, hex: String::from_utf8_lossy(hex).to_ascii_lowercase() })
    }
}

impl Digest {
    /// Begins to compute it.
    pub fn begin(self) -> Checksum {
        let Self { algorithm, hex } = self;
        let hash: Box<dyn DynDigest> = match algorithm {
            Algorithm::Sha1 => Box::new(Sha1::new()),
            Algorithm::Sha256 => Box::new(Sha256::new()),
            Algorithm::Sha512 => Box::new(Sha512::new()),
        };
        Checksum { hash, expected: hex }
    }

    /// Whether all that can be read has this digest.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn fits(self, mut from: impl Read) -> io::Result<bool> {
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
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    /// Whether the digest of all bytes is the expected one.
    pub fn holds(self) -> bool {
        HEXLOWER.encode(&self.hash.finalize()) == self.expected
    }
}
