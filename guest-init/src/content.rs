//! The content of one file as a tar stream has it: its bytes, holes as zeros, padded to whole blocks.
//!
//! [`export`](crate::export) opens the file and has sent its header, so the size is settled. A file that changes meanwhile
//! is an error.

use std::{fs::File, io::Read};

use anyhow::{Context, Result, ensure};
use kiln_protocol::frame::MAX_DATA;
use nix::{
    errno::Errno,
    sys::stat::{FileStat, fstat},
    unistd::{Whence, lseek},
};

use crate::header::BLOCK;

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

/// Whether the content is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More follows.
    GoesOn,
    /// All of it has been read.
    Complete,
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

    /// Appends a piece of at most [`MAX_DATA`] bytes, or the padding.
    pub(crate) fn read_into(&mut self, pending: &mut Vec<u8>) -> Result<Progress> {
        let progress = self.piece_into(pending);
        progress.with_context(|| format!("export {}", String::from_utf8_lossy(&self.path)))
    }

    fn piece_into(&mut self, pending: &mut Vec<u8>) -> Result<Progress> {
        if self.position == self.size {
            self.check_unchanged()?;
            let padding = self.size.next_multiple_of(BLOCK as u64) - self.size;
            pending.resize(pending.len() + padding as usize, 0);
            return Ok(Progress::Complete);
        }
        let start = pending.len();
        let (Segment::Data { end } | Segment::Hole { end }) = self.segment;
        if self.position == end {
            self.segment = self.next_segment()?;
        }
        match self.segment {
            Segment::Hole { end } => pending.resize(start + piece(end - self.position), 0),
            Segment::Data { end } => {
                pending.resize(start + piece(end - self.position), 0);
                let count = self.file.read(&mut pending[start..])?;
                ensure!(count > 0, "it became shorter while it was exported");
                pending.truncate(start + count);
            }
        }
        self.position += (pending.len() - start) as u64;
        Ok(Progress::GoesOn)
    }

    /// The segment at the position; the file is left there for the next read.
    fn next_segment(&self) -> Result<Segment> {
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

    fn check_unchanged(&self) -> Result<()> {
        let after = fstat(&self.file).context("look at it again")?;
        let key = |stat: &FileStat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
        ensure!(key(&after) == key(&self.before), "it changed while it was exported");
        Ok(())
    }
}

/// So much of `length` at once.
fn piece(length: u64) -> usize {
    usize::try_from(length).unwrap_or(MAX_DATA).min(MAX_DATA)
}
