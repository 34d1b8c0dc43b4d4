//! The end of a step's output, to find out why it failed. Bounded, whatever a guest writes.

use std::collections::VecDeque;

use kiln_protocol::Stream;

use super::failure::printable;

/// Of each stream: far more than a few lines of a terminal.
const KEPT_BYTES: usize = 8 * 1024;
/// Of each stream: the last lines say why a program ended.
const KEPT_LINES: usize = 20;

/// The end of both streams.
#[derive(Default)]
pub(super) struct Tail {
    stdout: VecDeque<u8>,
    stderr: VecDeque<u8>,
}

impl Tail {
    /// Takes the next output.
    pub(super) fn push(&mut self, stream: Stream, bytes: &[u8]) {
        let kept = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let bytes = &bytes[bytes.len().saturating_sub(KEPT_BYTES)..];
        kept.drain(..(kept.len() + bytes.len()).saturating_sub(KEPT_BYTES));
        kept.extend(bytes);
    }

    /// The last lines that are not empty: those of stderr after those of stdout.
    pub(super) fn lines(&self) -> Vec<String> {
        [&self.stdout, &self.stderr].into_iter().flat_map(lines).collect()
    }
}

fn lines(bytes: &VecDeque<u8>) -> Vec<String> {
    let bytes: Vec<u8> = bytes.iter().copied().collect();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> =
        text.split(['\n', '\r']).map(printable).filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(KEPT_LINES)..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_whatever_came_before() {
        let mut tail = Tail::default();
        tail.push(Stream::Stdout, &vec![b'x'; 1 << 20]);
        for piece in ["\nout", "put\r\n\n", "  \n\u{1b}[2Jlast"] {
            tail.push(Stream::Stdout, piece.as_bytes());
        }
        tail.push(Stream::Stderr, b"\xff error\n");
        let lines = tail.lines();
        assert!(lines[0].len() < KEPT_BYTES && lines[0].starts_with("xxx"));
        assert_eq!(lines[1..], ["output", " [2Jlast", "\u{fffd} error"]);
    }

    #[test]
    fn there_are_never_more_than_a_few() {
        let mut tail = Tail::default();
        (0..100).for_each(|n| tail.push(Stream::Stderr, format!("{n}\n").as_bytes()));
        let lines = tail.lines();
        assert_eq!((lines.len(), lines[0].as_str(), lines[19].as_str()), (20, "80", "99"));
    }
}
