//! What the agent has been asked and has not answered; [`session`](crate::session) does it.

use std::time::Instant;

use kiln_protocol::{ExitStatus, MemoryEvents, TextFile};

use crate::{export::Export, input::Input};

/// What the host waits for.
pub(crate) enum Task {
    Idle,
    Step(Running),
    /// The end of everything that steps have left running; then what was written to the overlay on this target is sent.
    Draining(String, ExportDetail),
    Export(Box<Export>),
}

/// What of what was written is sent.
#[derive(Clone, Copy)]
pub(crate) enum ExportDetail {
    Content,
    Names,
}

/// A step that has been started and not answered.
pub(crate) struct Running {
    pub(crate) index: u32,
    pub(crate) pid: u32,
    pub(crate) deadline: Option<Instant>,
    pub(crate) phase: Phase,
    pub(crate) input: Input,
    /// What had been counted before it.
    pub(crate) memory: Option<MemoryEvents>,
    /// What is removed when it has ended.
    pub(crate) files: Vec<TextFile>,
}

/// How far a step is.
pub(crate) enum Phase {
    /// Its first process runs.
    Runs,
    /// Everything has been killed and is not gone yet; then this is the answer.
    Killed(ExitStatus),
    /// Its first process has ended; what it wrote is being sent.
    Ended(ExitStatus),
}
