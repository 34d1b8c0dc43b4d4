//! A running sandbox: one process, whose pid namespace holds all the others.

use std::path::{Path, PathBuf};

use kiln_protocol::MemoryEvents;

use super::cgroup::Memory;
use crate::{
    backend::{BoxFuture, Ended, Machine},
    process::{Child, Tail},
};

/// bwrap. When it ends, the kernel kills all processes of the sandbox.
pub(super) struct Sandboxed {
    bwrap: Child,
    stderr: Tail,
    memory: Memory,
    scratch: PathBuf,
}

impl Sandboxed {
    pub(super) fn new(bwrap: Child, stderr: Tail, memory: Memory, scratch: PathBuf) -> Self {
        Self { bwrap, stderr, memory, scratch }
    }

    async fn end(&mut self) -> Ended {
        let Self { bwrap, stderr, .. } = self;
        let (how, orderly) = match bwrap.wait().await {
            Ok(status) => (format!("ended ({status})"), status.success()),
            Err(error) => (format!("cannot be waited for: {error:#}"), false),
        };
        // If the reader panicked, the lines that it had read are used.
        let last_words = stderr.last_lines().await.unwrap_or_else(|_| stderr.lines());
        Ended { part: "bwrap".into(), how, orderly, last_words, way_out: None }
    }
}

impl Machine for Sandboxed {
    fn ended(&mut self) -> BoxFuture<'_, Ended> {
        Box::pin(self.end())
    }

    fn kill(&mut self) {
        self.bwrap.kill();
    }

    fn gone(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.bwrap.gone())
    }

    fn last_words(&self) -> Vec<String> {
        self.stderr.lines()
    }

    fn memory(&self) -> Option<MemoryEvents> {
        self.memory.read()
    }

    fn scratch(&self) -> Option<&Path> {
        Some(&self.scratch)
    }
}
