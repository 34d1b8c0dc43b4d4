//! The unanswered request of the host; [`session`](crate::session) works on it.

use std::time::Instant;

use kiln_protocol::{ExitStatus, MemoryEvents, TextFile};

use crate::{export::Export, input::Input};

/// The task that the host waits for.
pub(crate) enum Task {
    Idle,
    Step(Running),
    /// Remaining processes of steps are being killed; then the upper directory of the overlay on this target is sent.
    Draining(String, ExportDetail),
    Export(Box<Export>),
}

/// How much of an upper directory is sent.
#[derive(Clone, Copy)]
pub(crate) enum ExportDetail {
    Content,
    Names,
}

/// A running step.
pub(crate) struct Running {
    pub(crate) index: u32,
    pub(crate) pid: u32,
    pub(crate) deadline: Option<Instant>,
    pub(crate) phase: Phase,
    pub(crate) input: Input,
    /// The counts before it.
    pub(crate) memory: Option<MemoryEvents>,
    /// Files that are removed when it has ended.
    pub(crate) files: Vec<TextFile>,
}

/// The phase of a step.
pub(crate) enum Phase {
    /// Its first process runs.
    Runs,
    /// All processes have been killed, and some are not gone yet; then this is the answer.
    Killed(ExitStatus),
    /// Its first process has ended; its output is being sent.
    Ended(ExitStatus),
}
