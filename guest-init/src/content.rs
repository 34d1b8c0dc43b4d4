//! The content of one file as a tar stream has it: its bytes, holes as zeros, padded to whole blocks.
//!
//! [`export`](crate::export) opens the file and has sent its header, so the size is settled. A file that changes meanwhile
//! is an error.

use std::{fs::File, io::Read};

use anyhow::{Context, Result, ensure};
use nix::{
    errno::Errno,
    sys::stat::{FileStat, fstat},
    unistd::{Whence, lseek},
};

use crate::header::BLOCK;

/// The unit of `st_blocks` (stat(2)).
const SECTOR: u64 = 512;

/// A file whose content is being sent.
pub(crate) struct Content {
    file: File,
    path: Vec<u8>,
    before: FileStat,
    size: u64,
    position: u64,
    segment: Segment,
}

/// The segment at the position, and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Segment {
    Data { end: u64 },
    Hole { end: u64 },
}

impl Content {
    /// The content of `file`, whose metadata were `before` when the header was made.
    pub(crate) fn new(file: File, path: Vec<u8>, before: FileStat) -> Self {
        let size = u64::try_from(before.st_size).unwrap_or_default();
        Self { file, path, before, size, position: 0, segment: Segment::Hole { end: 0 } }
    }

    /// How many bytes it has, without the padding.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Writes as many of the next bytes as there is room for, or fewer; returns their number, 0 when all of them have been read.
    pub(crate) fn read(&mut self, room: &mut [u8]) -> Result<usize> {
        let read = self.next_bytes(room);
        read.with_context(|| format!("export {}", String::from_utf8_lossy(&self.path)))
    }

    fn next_bytes(&mut self, room: &mut [u8]) -> Result<usize> {
        let (Segment::Data { end } | Segment::Hole { end }) = self.segment;
        if self.position == end {
            if self.position == self.size {
                self.check_unchanged()?;
            }
            self.segment = self.next_segment()?;
        }
        let (Segment::Data { end } | Segment::Hole { end }) = self.segment;
        let most = usize::try_from(end - self.position).unwrap_or(usize::MAX).min(room.len());
        let room = &mut room[..most];
        let count = match self.segment {
            Segment::Hole { .. } => {
                room.fill(0);
                most
            }
            Segment::Data { .. } => {
                let count = self.file.read(room)?;
                ensure!(count > 0, "it became shorter while it was exported");
                count
            }
        };
        self.position += count as u64;
        Ok(count)
    }

    /// The segment at the position; the file is left there for the next read.
    fn next_segment(&self) -> Result<Segment> {
        if self.position >= self.size {
            // The padding, and nothing behind it.
            return Ok(Segment::Hole { end: self.size.next_multiple_of(BLOCK as u64) });
        }
        if self.position == 0 && !self.may_have_holes() {
            return Ok(Segment::Data { end: self.size });
        }
        let position = i64::try_from(self.position)?;
        let data = match lseek(&self.file, position, Whence::SeekData) {
            Ok(data) => u64::try_from(data)?.min(self.size),
            // Behind the last data.
            Err(Errno::ENXIO) => self.size,
            Err(errno) => return Err(errno).context("look for data"),
        };
        if data > self.position {
            return Ok(Segment::Hole { end: data });
        }
        let hole = lseek(&self.file, position, Whence::SeekHole).context("look for a hole")?;
        lseek(&self.file, position, Whence::SeekSet).context("go to the data")?;
        let end = u64::try_from(hole)?.min(self.size);
        ensure!(end > self.position, "it changed while it was exported");
        Ok(Segment::Data { end })
    }

    /// Whether the file takes up less than its content: only then it is worth asking where its holes are.
    fn may_have_holes(&self) -> bool {
        u64::try_from(self.before.st_blocks).unwrap_or_default().saturating_mul(SECTOR) < self.size
    }

    fn check_unchanged(&self) -> Result<()> {
        let after = fstat(&self.file).context("look at it again")?;
        let key = |stat: &FileStat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
        ensure!(key(&after) == key(&self.before), "it changed while it was exported");
        Ok(())
    }
}
