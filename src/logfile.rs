//! A log file of bounded size: its beginning and its end are kept, and how much is missing between them is said.
//!
//! Who writes to it (a step, a guest's kernel) may write for ever. The end is written to a second file beside it, over and over
//! from its beginning, and appended when the log is closed; a process that is killed leaves both.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use tracing::warn;

/// At a gap so much is searched for the beginning of a line.
const LONGEST_LINE: usize = 64 << 10;
/// So much of its beginning stays of a log that has filled a disk.
const LEFT: u64 = 64 << 10;
/// The bytes that are copied at once.
const COPIED: usize = 64 << 10;

/// An open log. What cannot be written ends it, and nothing else: a log is never worth a build.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    path: PathBuf,
    most: u64,
    /// How much more goes to the beginning.
    room: u64,
    end: Option<End>,
    gap: fn(u64) -> String,
    is_broken: bool,
}

/// The end of a log that is longer than what is kept.
#[derive(Debug)]
struct End {
    file: File,
    path: PathBuf,
    /// All that was written to it, most of it over what was there.
    written: u64,
}

impl LogFile {
    /// A log that is to have at most `most` bytes of the beginning and as many of the end; `gap` is the line between them
    /// for so many bytes that are missing.
    ///
    /// # Errors
    /// When there is no file that can be appended to.
    pub fn open(path: &Path, most: u64, gap: fn(u64) -> String) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).read(true).open(path)?;
        let path = path.to_owned();
        Ok(Self { file, path, most, room: most, end: None, gap, is_broken: false })
    }

    /// Adds a piece; the gap is never within one.
    pub fn write(&mut self, bytes: &[u8]) {
        if self.is_broken {
            return;
        }
        if let Err(error) = self.add(bytes) {
            warn!(%error, log = %self.path.display(), "this log is incomplete");
            self.is_broken = true;
            if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                self.give_back();
            }
        }
    }

    /// Leaves the room of a full disk to what is worth more: the journal of a commit needs some.
    fn give_back(&mut self) {
        let end = self.end.take().map_or(Ok(()), |end| std::fs::remove_file(&end.path));
        let length = self.file.metadata().map_or(0, |metadata| metadata.len().min(LEFT));
        if let Err(error) = end.and_then(|()| self.file.set_len(length)) {
            warn!(%error, log = %self.path.display(), "this log cannot be made smaller");
        }
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() as u64 <= self.room {
            self.room -= bytes.len() as u64;
            return self.file.write_all(bytes);
        }
        // What comes later must not stand before this.
        self.room = 0;
        let end = match &mut self.end {
            Some(end) => end,
            None => self.end.insert(End::make(&self.path)?),
        };
        end.add(bytes, self.most)
    }

    fn close(&mut self) -> io::Result<()> {
        let Some(end) = self.end.take() else { return Ok(()) };
        let left_out = end.written.saturating_sub(self.most);
        let mut at = left_out;
        if left_out > 0 {
            at += end.line_after(at, self.most)?;
            self.file.write_all((self.gap)(at).as_bytes())?;
        }
        let mut buffer = vec![0; COPIED];
        while at < end.written {
            let count = end.read(&mut buffer, at, self.most)?;
            self.file.write_all(&buffer[..count])?;
            at += count as u64;
        }
        std::fs::remove_file(&end.path)
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            warn!(%error, log = %self.path.display(), "the end of this log is in a file beside it");
        }
    }
}

impl End {
    fn make(log: &Path) -> io::Result<Self> {
        let mut path = log.as_os_str().to_owned();
        path.push(".end");
        let path = PathBuf::from(path);
        let file =
            OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(&path)?;
        Ok(Self { file, path, written: 0 })
    }

    fn add(&mut self, mut bytes: &[u8], size: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let at = self.written % size;
            let count = bytes.len().min(usize::try_from(size - at).unwrap_or(usize::MAX));
            self.file.write_all_at(&bytes[..count], at)?;
            self.written += count as u64;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Reads some of what was written at this place, which is no further from the end than `size`.
    fn read(&self, buffer: &mut [u8], at: u64, size: u64) -> io::Result<usize> {
        let most = (self.written - at).min(size - at % size);
        let count = buffer.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        self.file.read_exact_at(&mut buffer[..count], at % size)?;
        Ok(count)
    }

    /// How far the beginning of a line is behind this place; 0 where none is near.
    fn line_after(&self, at: u64, size: u64) -> io::Result<u64> {
        let mut buffer = vec![0; LONGEST_LINE];
        let count = self.read(&mut buffer, at, size)?;
        Ok(buffer[..count].iter().position(|&byte| byte == b'\n').map_or(0, |line| line as u64 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(pieces: impl IntoIterator<Item = Vec<u8>>, most: u64) -> String {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("log");
        File::create(&path).expect("made");
        let mut log = LogFile::open(&path, most, |left_out| format!("[{left_out}]\n")).expect("there");
        for piece in pieces {
            log.write(&piece);
            let sizes = directory
                .path()
                .read_dir()
                .expect("listed")
                .map(|entry| entry.and_then(|entry| entry.metadata()).expect("there").len());
            assert!(sizes.sum::<u64>() <= 2 * most);
        }
        drop(log);
        assert_eq!(directory.path().read_dir().expect("listed").count(), 1);
        std::fs::read_to_string(&path).expect("there")
    }

    #[test]
    fn a_short_log_is_kept_whole_and_of_a_long_one_both_ends() {
        let lines = |count: u64| (0..count).map(|n| format!("line {n:04}\n").into_bytes());
        for count in [0, 1, 9, 10, 19, 20] {
            let whole: String = lines(count).map(|line| String::from_utf8(line).expect("text")).collect();
            assert_eq!(logged(lines(count), 100), whole, "{count}");
        }
        let head: String = (0..10).map(|n| format!("line {n:04}\n")).collect();
        for count in [21, 22, 500, 1009] {
            let tail: String = (count - 10..count).map(|n| format!("line {n:04}\n")).collect();
            let expected = format!("{head}[{}]\n{}", (count - 20) * 10 + 10, &tail[10..]);
            assert_eq!(logged(lines(count), 100), expected, "{count}");
        }
    }

    #[test]
    fn a_log_without_lines_is_cut_anywhere() {
        let text = logged([b"abcde".to_vec(), b"fg".repeat(1000), b"xyz".to_vec()], 6);
        assert_eq!(text, "abcde[1997]\ngfgxyz");
    }
}
