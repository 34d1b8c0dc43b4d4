//! Finds the texts that stand before versions, in one pass and with a small buffer.

use std::io::{self, ErrorKind, Read};

use super::version::{GZIP, LINUX_VERSION, MAX_VERSION, VERMAGIC, version};

/// What is read at a time.
const CHUNK: usize = 64 << 10;
/// A text can begin this far before the end of what has been read: the longest text, and blanks and a version behind it.
const OVERLAP: usize = LINUX_VERSION.len() + 2 * MAX_VERSION;

/// The first of each kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hits {
    /// Where a gzip file begins.
    pub(super) gzip_at: Option<u64>,
    /// The version of a kernel.
    pub(super) linux: Option<Box<str>>,
    /// The version that a module is made for.
    pub(super) vermagic: Option<Box<str>>,
    has_linux: bool,
    has_vermagic: bool,
}

/// Reads to the end, and keeps the first of each kind. After an error, `hits` has what came before.
pub(super) fn search(reader: &mut impl Read, hits: &mut Hits) -> io::Result<()> {
    let mut buffer: Vec<u8> = Vec::with_capacity(CHUNK + OVERLAP);
    let mut start = 0;
    let mut result = Ok(());
    let mut at_end = false;
    while !at_end {
        match fill(reader, &mut buffer) {
            Ok(0) => at_end = true,
            Ok(_) => {}
            Err(error) => (at_end, result) = (true, Err(error)),
        }
        // A text that begins in the last part is looked at when more has been read behind it.
        let end = if at_end { buffer.len() } else { buffer.len().saturating_sub(OVERLAP) };
        hits.look_at(&buffer, end, start);
        buffer.drain(..end);
        start += end as u64;
        if hits.is_complete() {
            break;
        }
    }
    result
}

fn fill(reader: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let before = buffer.len();
    buffer.resize(before + CHUNK, 0);
    let result = loop {
        match reader.read(buffer.get_mut(before..).unwrap_or_default()) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => break result,
        }
    };
    buffer.truncate(before + result.as_ref().copied().unwrap_or(0));
    result
}

impl Hits {
    fn is_complete(&self) -> bool {
        self.gzip_at.is_some() && self.has_linux && self.has_vermagic
    }

    /// Looks for texts that begin before `end`; the buffer begins at the offset `start`.
    fn look_at(&mut self, buffer: &[u8], end: usize, start: u64) {
        if self.gzip_at.is_none() {
            self.gzip_at = find(buffer, end, GZIP).map(|at| start + at as u64);
        }
        if !self.has_linux
            && let Some(at) = find(buffer, end, LINUX_VERSION)
        {
            self.has_linux = true;
            self.linux = buffer.get(at + LINUX_VERSION.len()..).and_then(version);
        }
        if !self.has_vermagic
            && let Some(at) = find(buffer, end, VERMAGIC)
        {
            self.has_vermagic = true;
            self.vermagic = buffer.get(at + VERMAGIC.len()..).and_then(version);
        }
    }
}

/// Where a text first begins before `end`.
fn find(buffer: &[u8], end: usize, text: &[u8]) -> Option<usize> {
    let first = text.first()?;
    let mut at = 0;
    loop {
        at += buffer.get(at..end)?.iter().position(|byte| byte == first)?;
        if buffer.get(at..)?.starts_with(text) {
            return Some(at);
        }
        at += 1;
    }
}
