//! A backend: it launches the agent somewhere and gives kiln a channel to it. Nothing else differs between backends.
//!
//! Before it: the plan, the image, the shares. After it: `engine`, which speaks to the agent and ends what was launched.

pub mod bubblewrap;
pub mod docker;
pub mod fake;
pub mod qemu;

use std::{future::Future, path::Path, pin::Pin};

use anyhow::Result;
use kiln_protocol::{MemoryEvents, Reads};

use crate::{
    agent::{Reader, Writer},
    plan::Plan,
};

/// A future of a trait's method: two backends behind one pointer.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A backend.
pub trait Runner {
    /// Starts the agent; returns as soon as it can be spoken to or has a chance to say `Hello`.
    fn launch<'a>(&'a mut self, plan: &'a Plan) -> BoxFuture<'a, Result<Launched>>;

    /// Removes what outlives the machine, when that has ended or was killed. A microVM leaves nothing.
    fn clean(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// What the user should know of how it went, once all is cleaned: nothing, as a rule.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    /// What was used up, for a command that ended without an error that says so.
    fn shortages(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What was launched.
pub struct Launched {
    /// From the agent.
    pub reader: Reader,
    /// To the agent.
    pub writer: Writer,
    /// What runs it.
    pub machine: Box<dyn Machine>,
}

/// What an agent runs in: a microVM with its daemons, a container, a sandbox. Dropping it kills it.
pub trait Machine {
    /// Resolves when a part without which it cannot go on has ended. May be dropped and called again.
    fn ended(&mut self) -> BoxFuture<'_, Ended>;
    /// Ends all of it at once.
    fn kill(&mut self);
    /// Ends what has not ended yet, and resolves when no process is left that could write into the cache. Where the machine
    /// outlives its conversation, [`Runner::clean`] sees to that.
    fn gone(&mut self) -> BoxFuture<'_, ()>;
    /// The last lines that the guest's kernel or the container wrote, oldest first.
    fn last_words(&self) -> Vec<String>;

    /// What the kernel has done for want of memory so far; nothing where it is the agent who looks.
    fn memory(&self) -> Option<MemoryEvents> {
        None
    }

    /// The directory of the host whose file system takes what steps write; nothing where they have a disk of their own.
    fn scratch(&self) -> Option<&Path> {
        None
    }

    /// Begins to count what steps read of the cache where that is seen from outside; the world stands, and no step has run.
    fn listen(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// What has been counted since then, once; nothing where it is the agent who counts.
    fn reads(&mut self) -> BoxFuture<'_, Option<Reads>> {
        Box::pin(async { None })
    }
}

/// How a part of a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// `qemu`, `virtiofsd`, `docker`, `bwrap`.
    pub part: String,
    /// How, as a predicate: `ended (SIGKILL)`.
    pub how: String,
    /// Whether that is how an orderly end looks.
    pub orderly: bool,
    /// What it said last.
    pub last_words: Vec<String>,
    /// How to mend it, where that is known.
    pub way_out: Option<String>,
}
