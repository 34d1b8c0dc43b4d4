//! A file that is hashed while it is written.

use std::io::{Result, Write};

use sha2::{Digest, Sha256};

/// Passes everything on and hashes it.
pub(super) struct Hashed<W> {
    out: W,
    sha256: Sha256,
    bytes: u64,
}

impl<W: Write> Hashed<W> {
    /// Nothing is hashed yet.
    pub(super) fn new(out: W) -> Self {
        Self { out, sha256: Sha256::new(), bytes: 0 }
    }

    /// The output, its SHA-256, and how many bytes it has.
    pub(super) fn finish(self) -> (W, [u8; 32], u64) {
        (self.out, self.sha256.finalize().into(), self.bytes)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let length = self.out.write(bytes)?;
        self.sha256.update(&bytes[..length]);
        self.bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }
}
