//! A log file of bounded size: its beginning and its end are kept, with a line between them on the missing bytes.
//!
//! A step or a guest's kernel may write for ever. The end is kept in a second file, a ring buffer, and appended when the log is
//! closed. A kiln that is killed leaves both files.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use tracing::warn;

/// How many bytes after a gap are searched for the beginning of a line.
const LONGEST_LINE: usize = 64 << 10;
/// How much of its beginning is kept of a log that has filled a disk.
const LEFT: u64 = 64 << 10;
/// How many bytes are copied at once.
const COPIED: usize = 64 << 10;

/// An open log. A failed write ends the log, and never the build.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    path: PathBuf,
    most: u64,
    /// How many more bytes belong to the beginning.
    room: u64,
    end: Option<End>,
    gap: fn(u64) -> String,
    is_broken: bool,
}

/// The end of a log that is longer than its limit.
#[derive(Debug)]
struct End {
    file: File,
    path: PathBuf,
    /// How many bytes were written to it, most of them over older ones.
    written: u64,
}

impl LogFile {
    /// A log with at most `most` bytes of the beginning and as many of the end; `gap` makes the line between them from the number of
    /// missing bytes.
    ///
    /// # Errors
    /// When there is no file, or it cannot be written to.
    pub fn open(path: &Path, most: u64, gap: fn(u64) -> String) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).read(true).open(path)?;
        let path = path.to_owned();
        Ok(Self { file, path, most, room: most, end: None, gap, is_broken: false })
    }

    /// Adds a piece; a gap does not begin within one.
    pub fn write(&mut self, bytes: &[u8]) {
        if self.is_broken {
            return;
        }
        if let Err(error) = self.add(bytes) {
            warn!(%error, log = %self.path.display(), "this log is incomplete");
            self.is_broken = true;
            if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                self.free_space();
            }
        }
    }

    /// Frees space on a full disk, for example for the journal of a commit.
    fn free_space(&mut self) {
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
        // Later pieces must not go to the beginning, even if they fit.
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

    /// Reads bytes from this offset, which is at most `size` before the end.
    fn read(&self, buffer: &mut [u8], at: u64, size: u64) -> io::Result<usize> {
        let most = (self.written - at).min(size - at % size);
        let count = buffer.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        self.file.read_exact_at(&mut buffer[..count], at % size)?;
        Ok(count)
    }

    /// The distance from this offset to the next beginning of a line; 0 where none is near.
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
    fn a_short_log_is_complete_and_a_long_one_has_both_ends() {
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
