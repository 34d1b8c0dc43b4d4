//! The result of a job, which its kiln writes to a pipe for the kiln that started it.

use std::{fs::OpenOptions, io::Write, os::fd::RawFd};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::exit::Code;

/// The number of the pipe's descriptor in a job.
pub(super) const RESULT_FD: RawFd = 3;
/// The most bytes that are read: as much as a pipe holds, so that a job never waits for its reader.
pub(super) const RESULT_LIMIT: u64 = 64 << 10;
/// The most characters of an error: it fits into a pipe whatever JSON makes of its characters.
const MOST_CHARS: usize = 8 << 10;

/// What a job tells besides its exit status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JobResult {
    /// The error with its causes; empty without one.
    pub(super) error: String,
}

/// Writes the result of this job.
pub(in crate::commands) fn report(result: &Result<Code>) {
    let error = result.as_ref().err().map_or(String::new(), |error| format!("{error:#}"));
    let error = error.chars().take(MOST_CHARS).collect();
    let text = serde_json::to_vec(&JobResult { error }).unwrap_or_default();
    let pipe = OpenOptions::new().write(true).open(format!("/proc/self/fd/{RESULT_FD}"));
    // Best effort: the exit status says whether the job has succeeded.
    let _ = pipe.and_then(|mut pipe| pipe.write_all(&text));
}
