//! Bounded reads of a file whose size is known.

use std::io::{self, Read, Seek, SeekFrom};

/// The content of one file.
pub(super) struct Source<'a, R> {
    content: &'a mut R,
    size: u64,
}

impl<'a, R: Read + Seek> Source<'a, R> {
    pub(super) fn new(content: &'a mut R, size: u64) -> Self {
        Self { content, size }
    }

    /// The size of the file, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The first bytes, fewer if the file is shorter.
    pub(super) fn head(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        self.up_to(0, limit)
    }

    /// At most `limit` bytes at an offset, fewer at the end of the file.
    pub(super) fn up_to(&mut self, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        let length = self.size.saturating_sub(offset).min(limit as u64);
        let mut bytes = Vec::new();
        if length > 0 {
            bytes.reserve_exact(usize::try_from(length).unwrap_or(limit));
            self.from(offset)?.take(length).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    /// Exactly `length` bytes at an offset; `None` if the file ends before.
    pub(super) fn exact(&mut self, offset: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        let end = offset.checked_add(length as u64);
        if end.is_none_or(|end| end > self.size) {
            return Ok(None);
        }
        let bytes = self.up_to(offset, length)?;
        Ok((bytes.len() == length).then_some(bytes))
    }

    /// The content from an offset to the end of the file.
    pub(super) fn from(&mut self, offset: u64) -> io::Result<impl Read + '_> {
        self.content.seek(SeekFrom::Start(offset))?;
        Ok((&mut *self.content).take(self.size.saturating_sub(offset)))
    }
}
