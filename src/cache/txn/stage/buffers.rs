//! Copies content from the stream into a file, unless it is the same as that of a file in the cache.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::FileExt,
};

use anyhow::Result;

use super::errors::of_cache;
use crate::{cache::dir::BeneathDir, ecosystem::Checksum, package::Reader};

/// Content is compared and written in pieces of this size.
const PIECE: usize = 256 << 10;

/// A piece of the stream, and one of the file that it is compared with.
pub(super) struct Buffers {
    stream: Vec<u8>,
    cached: Vec<u8>,
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self { stream: vec![0; PIECE], cached: vec![0; PIECE] }
    }

    /// Reads the content; `None` if it is that of `same`, else the file in `dir` that holds it.
    pub(super) fn take<R: Read>(
        &mut self,
        dir: &BeneathDir,
        name: &[u8],
        mut same: Option<File>,
        mut checksum: Option<&mut Checksum>,
        reader: &mut Reader<R>,
    ) -> Result<Option<File>> {
        let mut out = match &same {
            None => Some(dir.create(name)?),
            Some(_) => None,
        };
        let mut offset = 0;
        loop {
            let length = reader.read_body(&mut self.stream).map_err(of_cache)?;
            if length == 0 {
                return Ok(out);
            }
            if let Some(checksum) = &mut checksum {
                checksum.update(&self.stream[..length]);
            }
            if let Some(cached) = &same {
                let equal = cached.read_exact_at(&mut self.cached[..length], offset).is_ok()
                    && self.cached[..length] == self.stream[..length];
                if !equal {
                    let file = dir.create(name)?;
                    io::copy(&mut Read::take(cached, offset), &mut &file)?;
                    out = Some(file);
                    same = None;
                }
            }
            if let Some(mut file) = out.as_ref() {
                file.write_all(&self.stream[..length])?;
            }
            offset += length as u64;
        }
    }
}
