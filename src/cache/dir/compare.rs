//! Compares two files: content, permissions and the attributes that are copied with a file.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
};

use super::{BeneathDir, attributes::user_attributes};

/// Files are compared in pieces of this size.
const PIECE: usize = 256 << 10;

/// Whether two directories have the same file under a name.
pub(in crate::cache) fn holds_same(one: &BeneathDir, other: &BeneathDir, name: &[u8]) -> io::Result<bool> {
    match (one.file_unused(name)?, other.file_unused(name)?) {
        (Some(one), Some(other)) => same(&one, &other),
        (None, _) | (_, None) => Ok(false),
    }
}

/// Whether two files are the same.
pub(in crate::cache) fn same(one: &File, other: &File) -> io::Result<bool> {
    let (left, right) = (one.metadata()?, other.metadata()?);
    let alike = left.len() == right.len() && left.mode() == right.mode();
    Ok(alike && user_attributes(one)? == user_attributes(other)? && equal(one, other)?)
}

/// Whether two files have the same content.
fn equal(one: &File, other: &File) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    let mut offset = 0;
    loop {
        let length = one.read_at(&mut left, offset)?;
        match other.read_exact_at(&mut right[..length], offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        if left[..length] != right[..length] {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
        offset += length as u64;
    }
}
