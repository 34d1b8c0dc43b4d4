//! A step: one command that the agent runs, and how it ends.

use serde::{Deserialize, Serialize};

use crate::TextFile;

/// One command to run in the prepared world: no descriptor but 0, 1 and 2 is open, umask is 022.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Names the step in every answer about it.
    pub index: u32,
    /// The program (an absolute path in the world) and its arguments.
    pub argv: Vec<String>,
    /// Files of root that lie in the world while the step runs, and no longer. What does not fit an argument (the kernel takes
    /// 128 KiB) comes this way.
    pub files: Vec<TextFile>,
    /// The whole environment: nothing else is inherited.
    pub env: Vec<(String, String)>,
    /// The directory it starts in; it must exist.
    pub cwd: String,
    /// As whom.
    pub user: User,
    /// What it reads.
    pub stdin: Stdin,
    /// After so many milliseconds everything is ended and the status is [`ExitStatus::TimedOut`].
    pub timeout_ms: Option<u64>,
}

/// What a step reads.
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

/// As whom a step runs. Names are looked up in the world's own `/etc/passwd` and `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum User {
    /// uid 0, gid 0.
    Root,
    /// A login name; its primary and supplementary groups are taken from the world's files.
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
    /// It was ended by this signal.
    Signal(i32),
    /// [`Step::timeout_ms`] ran out.
    TimedOut,
    /// [`super::ToGuest::Cancel`] ended it.
    Cancelled,
}

impl ExitStatus {
    /// Whether it exited with 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}
