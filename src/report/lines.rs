//! Joins pieces of output to lines, for each step and stream.

use std::collections::BTreeMap;

use crate::event::{Data, StepName, Stream};

/// A longer line is split, so that memory is bounded.
const MAX_LINE: usize = 16 << 10;

/// Incomplete lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: BTreeMap<(u32, bool), Vec<u8>>,
}

impl Lines {
    /// Takes a piece; gives the lines that are complete now, without their line breaks.
    pub(super) fn push(&mut self, step: &StepName, stream: Stream, data: &Data) -> Vec<String> {
        let mut rest = match data {
            Data::Text(text) => text.as_bytes(),
            Data::Bytes(bytes) => bytes,
        };
        let begun = self.begun.entry((step.index, stream == Stream::Stderr)).or_default();
        let mut lines = Vec::new();
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            begun.extend_from_slice(&rest[..end]);
            lines.push(String::from_utf8_lossy(begun).into_owned());
            begun.clear();
            rest = &rest[end + 1..];
        }
        begun.extend_from_slice(rest);
        if begun.len() > MAX_LINE {
            lines.push(String::from_utf8_lossy(begun).into_owned());
            begun.clear();
        }
        lines
    }

    /// The end of the step: gives its incomplete lines.
    pub(super) fn finish(&mut self, step: &StepName) -> Vec<String> {
        let left = [false, true].into_iter().filter_map(|stream| self.begun.remove(&(step.index, stream)));
        left.filter(|line| !line.is_empty()).map(|line| String::from_utf8_lossy(&line).into_owned()).collect()
    }
}
