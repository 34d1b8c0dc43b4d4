//! The content of a file while it is not known yet what its header says: the header has a digest of the content.
//!
//! Small files are held in memory, larger ones in a file without a name beside the packages.

use std::{
    fs::File,
    io::{self, Cursor, ErrorKind, Read, Seek, SeekFrom, Write},
};

use sha1::{Digest, Sha1};

use crate::package::staged_file::{Directory, Staged};

/// The most bytes of a content that are held in memory.
const IN_MEMORY: u64 = 1 << 20;

/// Bytes that are read at once from the file.
const PIECE: usize = 256 << 10;

/// Holds one content after the other; the memory and the file are used again.
pub(super) struct Holder<'a> {
    out: &'a Directory,
    memory: Vec<u8>,
    spool: Option<Staged>,
    place: Place,
    digest: Sha1,
    bytes: u64,
}

/// Where the current content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Memory,
    Spool,
}

impl<'a> Holder<'a> {
    /// Large contents go to a file in `out`.
    pub(super) fn new(out: &'a Directory) -> Self {
        Self { out, memory: Vec::new(), spool: None, place: Place::Memory, digest: Sha1::new(), bytes: 0 }
    }

    /// Starts a content of `size` bytes in place of the one before.
    pub(super) fn start(&mut self, size: u64) -> io::Result<()> {
        self.memory.clear();
        self.digest = Sha1::new();
        self.bytes = 0;
        self.place = if size <= IN_MEMORY { Place::Memory } else { Place::Spool };
        if self.place == Place::Spool {
            let mut file = self.spool()?;
            file.set_len(0)?;
            file.rewind()?;
        }
        Ok(())
    }

    /// Takes the next piece.
    pub(super) fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        self.digest.update(piece);
        self.bytes += piece.len() as u64;
        match self.place {
            Place::Memory => self.memory.extend_from_slice(piece),
            Place::Spool => self.spool()?.write_all(piece)?,
        }
        Ok(())
    }

    /// The SHA-1 of the content so far.
    pub(super) fn sha1(&self) -> [u8; 20] {
        self.digest.clone().finalize().into()
    }

    /// Hands the content over, piece by piece.
    pub(super) fn replay(&mut self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if self.place == Place::Memory {
            return take(&self.memory);
        }
        let mut left = self.bytes;
        let mut file = self.spool()?;
        file.rewind()?;
        let mut buffer = vec![0; PIECE];
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let piece = &mut buffer[..want];
            file.read_exact(piece)?;
            take(piece)?;
            left -= want as u64;
        }
        Ok(())
    }

    /// The content, to look into.
    pub(super) fn reader(&mut self) -> io::Result<Content<'_>> {
        Ok(match self.place {
            Place::Memory => Content::Memory(Cursor::new(&self.memory)),
            Place::Spool => Content::Spool(self.spool()?),
        })
    }

    fn spool(&mut self) -> io::Result<&File> {
        if self.spool.is_none() {
            self.spool = Some(self.out.stage()?);
        }
        let spool = self.spool.as_ref().ok_or(ErrorKind::NotFound)?;
        Ok(spool.file())
    }
}

/// A content that can be read anywhere.
pub(super) enum Content<'a> {
    /// In memory.
    Memory(Cursor<&'a Vec<u8>>),
    /// In the file.
    Spool(&'a File),
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Memory(memory) => memory.read(buffer),
            Self::Spool(file) => file.read(buffer),
        }
    }
}

impl Seek for Content<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Memory(memory) => memory.seek(position),
            Self::Spool(file) => file.seek(position),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_come_back_from_memory_and_from_the_file() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let out = Directory::open(scratch.path()).expect("it can be opened");
        let mut holder = Holder::new(&out);
        for size in [0, 5, IN_MEMORY, IN_MEMORY + 1, 3, 2 * IN_MEMORY + 7] {
            let content: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            holder.start(size).expect("started");
            for piece in content.chunks(100_000) {
                holder.push(piece).expect("held");
            }
            let mut seen = Vec::new();
            let taken = holder.replay(|piece| {
                seen.extend_from_slice(piece);
                Ok(())
            });
            taken.expect("it comes back");
            assert_eq!(seen, content);
            assert_eq!(holder.sha1(), <[u8; 20]>::from(Sha1::digest(&content)));
            let mut last = [0];
            let mut reader = holder.reader().expect("it can be read");
            if size > 0 {
                reader.seek(SeekFrom::End(-1)).expect("it can be read anywhere");
                reader.read_exact(&mut last).expect("it is there");
                assert_eq!(content.last(), last.first());
            }
        }
    }
}
