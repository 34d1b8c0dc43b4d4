//! The last lines of a stream that nobody can trust to be small: a guest's console, a daemon's stderr.

use std::{
    collections::VecDeque,
    fs::File,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::io::{AsyncRead, AsyncReadExt};

/// So many lines are kept in memory.
const LINES: usize = 40;
/// So much of a line is kept.
const LINE_BYTES: usize = 512;
/// So much is written to the log file; a guest that writes without end does not fill the disk.
const LOG_BYTES: usize = 16 << 20;

/// The last lines of something that is still being written.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    whole: VecDeque<String>,
    open: Vec<u8>,
}

impl Tail {
    /// Reads `stream` to its end, in the background, into the tail and (bounded) into `log`.
    pub(super) fn follow(stream: impl AsyncRead + Unpin + Send + 'static, log: Option<File>) -> Self {
        let tail = Self::default();
        tokio::spawn(copy(stream, log, tail.clone()));
        tail
    }

    /// The lines, oldest first; the unfinished last one included.
    pub(super) fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = (!lines.open.is_empty()).then(|| text(&lines.open));
        lines.whole.iter().cloned().chain(open).collect()
    }

    fn push(&self, bytes: &[u8]) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for &byte in bytes {
            if byte == b'\n' {
                let line = text(&lines.open);
                lines.open.clear();
                lines.whole.push_back(line);
                if lines.whole.len() > LINES {
                    lines.whole.pop_front();
                }
            } else if lines.open.len() < LINE_BYTES {
                lines.open.push(byte);
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\r').to_owned()
}

async fn copy(mut stream: impl AsyncRead + Unpin, mut log: Option<File>, tail: Tail) {
    let mut buffer = vec![0; 16 * 1024];
    let mut room = LOG_BYTES;
    // An error of a pipe whose writer was killed is its end.
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        tail.push(&buffer[..count]);
        let logged = count.min(room);
        room -= logged;
        // A log that cannot be written (a full disk) must not end the build: the tail is still there.
        if log.as_mut().is_some_and(|file| file.write_all(&buffer[..logged]).is_err()) {
            log = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines_and_no_line_is_long() {
        let tail = Tail::default();
        for n in 0..100 {
            tail.push(format!("line {n}\r\n").as_bytes());
        }
        tail.push(&[b'x'; 5000]);
        let lines = tail.lines();
        assert_eq!(lines.len(), LINES + 1);
        assert_eq!(lines[0], "line 60");
        assert_eq!(lines[LINES].len(), LINE_BYTES);
    }
}
