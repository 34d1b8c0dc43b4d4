//! Files that are mostly holes: a file of one block may have 2^63 bytes, and reading it does not end.

use std::{
    fs::{File, Metadata},
    os::unix::fs::MetadataExt,
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    unistd::{Whence, lseek},
};

/// A file with more bytes of holes is not read: no tool keeps such a file where its content matters.
pub(in crate::cache) const MOST_HOLES: u64 = 64 << 20;

/// How many bytes of a file are holes. Compression by the file system also leaves fewer blocks than bytes.
pub(in crate::cache) fn holes(file: &File, metadata: &Metadata) -> Result<u64> {
    let length = metadata.len();
    if metadata.blocks().saturating_mul(512) >= length {
        return Ok(0);
    }
    let end = i64::try_from(length).context("no file is longer")?;
    let (mut at, mut holes) = (0, 0);
    while at < end {
        let data = match lseek(file, at, Whence::SeekData) {
            Ok(data) => data,
            // Only a hole follows.
            Err(Errno::ENXIO) => end,
            Err(error) => return Err(error.into()),
        };
        holes += data.min(end) - at;
        if data >= end {
            break;
        }
        at = lseek(file, data, Whence::SeekHole)?;
    }
    lseek(file, 0, Whence::SeekSet)?;
    Ok(holes.unsigned_abs())
}
