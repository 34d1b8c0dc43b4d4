//! A step: one command that the agent runs, and how it ends.

use serde::{Deserialize, Serialize};

use crate::TextFile;

/// One command to run in the prepared guest. Only descriptors 0, 1 and 2 are open; the umask is 022.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The number of the step in every answer about it.
    pub index: u32,
    /// The program (an absolute path in the guest) and its arguments.
    pub argv: Vec<String>,
    /// Files of root that exist while the step runs. A script that does not fit an argument (128 KiB) is passed in one.
    pub files: Vec<TextFile>,
    /// The whole environment: nothing else is inherited.
    pub env: Vec<(String, String)>,
    /// The working directory; it must exist.
    pub cwd: String,
    /// The user that runs it.
    pub user: User,
    /// Its standard input.
    pub stdin: Stdin,
    /// After so many milliseconds all processes are killed, and the status is [`ExitStatus::TimedOut`].
    pub timeout_ms: Option<u64>,
}

/// The standard input of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stdin {
    /// `/dev/null`.
    Null,
    /// A pipe, fed by [`super::ToGuest::Input`].
    Pipe,
    /// A terminal, which is also its stdout and stderr (its output arrives as [`Stream::Stdout`]) and controls its session.
    Terminal(Terminal),
}

/// A terminal as the host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Its kind: the step's `TERM`.
    pub term: String,
    /// Lines.
    pub rows: u16,
    /// Characters in each.
    pub columns: u16,
}

/// The user of a step. Names are looked up in the guest's own `/etc/passwd` and `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum User {
    /// uid 0, gid 0.
    Root,
    /// A login name; its primary and supplementary groups are those of the guest's files.
    Name(String),
    /// A number; its primary group is looked up, and is the same number where `/etc/passwd` does not know it.
    Uid(u32),
}

/// Which of a step's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It exited with this code, 0 to 255.
    Code(i32),
    /// It was killed by this signal.
    Signal(i32),
    /// [`Step::timeout_ms`] ran out.
    TimedOut,
    /// [`super::ToGuest::Cancel`] killed it.
    Cancelled,
}

impl ExitStatus {
    /// Whether it exited with 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}
