//! The last lines of a stream of any length: a guest's console, a daemon's stderr.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    task::JoinHandle,
    time::timeout,
};

use crate::logfile::LogFile;

/// The most bytes of a line that are kept, so that an endless line costs no memory.
const LINE_BYTES: usize = 1024;
/// How long the rest of an ended process's output may take to be read. Its descendants may hold the stream open for longer.
const END_LIMIT: Duration = Duration::from_secs(2);

/// The last lines of something that is still being written.
#[derive(Debug)]
pub struct Tail {
    lines: Arc<Mutex<Lines>>,
    reader: JoinHandle<()>,
}

#[derive(Debug)]
struct Lines {
    most: usize,
    whole: VecDeque<String>,
    open: Vec<u8>,
}

impl Tail {
    /// Reads `stream` to its end, in the background: its last `most` lines are kept, and all of it goes into `log`.
    pub fn follow(
        most: usize,
        stream: impl AsyncRead + Unpin + Send + 'static,
        log: Option<LogFile>,
    ) -> Self {
        let lines = Arc::new(Mutex::new(Lines { most, whole: VecDeque::new(), open: Vec::new() }));
        let reader = tokio::spawn(copy(stream, log, Arc::clone(&lines)));
        Self { lines, reader }
    }

    /// The lines until now, oldest first, with the unfinished last one.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).all()
    }

    /// The last lines of a stream whose writer has ended. May be cancelled and called again.
    ///
    /// # Errors
    /// When the reader panicked.
    pub async fn last_lines(&mut self) -> Result<Vec<String>> {
        if !self.reader.is_finished()
            && let Ok(read) = timeout(END_LIMIT, &mut self.reader).await
        {
            read.context("read the last lines")?;
        }
        Ok(self.lines())
    }
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                _ if self.open.len() < LINE_BYTES => self.open.push(byte),
                _ => {}
            }
        }
    }

    /// Blank lines are dropped: they would displace others.
    fn end_line(&mut self) {
        let line = text(&self.open);
        self.open.clear();
        if line.is_empty() {
            return;
        }
        if self.whole.len() == self.most {
            self.whole.pop_front();
        }
        self.whole.push_back(line);
    }

    fn all(&self) -> Vec<String> {
        let open = Some(text(&self.open)).filter(|line| !line.is_empty());
        self.whole.iter().cloned().chain(open).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

async fn copy(mut stream: impl AsyncRead + Unpin, mut log: Option<LogFile>, lines: Arc<Mutex<Lines>>) {
    let mut buffer = vec![0; 16 * 1024];
    // An error counts as the end: the writer was killed.
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(&buffer[..count]);
        if let Some(log) = &mut log {
            log.write(&buffer[..count]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn tail(most: usize, text: &'static [u8]) -> Vec<String> {
        Tail::follow(most, text, None).last_lines().await.expect("the reader does not panic")
    }

    #[tokio::test]
    async fn keeps_the_last_lines_and_no_line_is_long() {
        let numbered: String = (0..100).map(|n| format!("line {n}\r\n\n")).collect();
        let text = Vec::leak([numbered.as_bytes(), &[b'x'; 5000]].concat());
        let lines = tail(40, text).await;
        assert_eq!(lines.len(), 41);
        assert_eq!((lines[0].as_str(), lines[39].as_str()), ("line 60", "line 99"));
        assert_eq!(lines[40].len(), LINE_BYTES);
    }

    #[tokio::test]
    async fn only_as_many_lines_as_requested_are_kept() {
        let numbered: String = (0..100).map(|n| format!("line {n}\r\n")).collect();
        let lines = tail(20, String::leak(numbered).as_bytes()).await;
        assert_eq!((lines.len(), lines[0].as_str(), lines[19].as_str()), (20, "line 80", "line 99"));
    }

    #[tokio::test]
    async fn the_log_gets_the_bytes_as_they_are() {
        let log = tempfile::NamedTempFile::new().expect("a file can be made");
        let file = LogFile::open(log.path(), 1 << 20, |_| String::new()).expect("it can be opened");
        Tail::follow(1, &b"a\r\n\nb"[..], Some(file)).last_lines().await.expect("the reader does not panic");
        assert_eq!(std::fs::read(log.path()).expect("it can be read"), b"a\r\n\nb");
    }
}
