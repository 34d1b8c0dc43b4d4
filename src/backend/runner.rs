//! The backend of one run: it launches the agent in a machine.

use std::{future::Future, path::Path, pin::Pin};

use anyhow::Result;
use kiln_protocol::{MemoryEvents, Reads};

use crate::{
    agent::{Reader, Writer},
    event::Event,
    plan::Plan,
};

/// The future of a method of a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The backend of one run.
pub trait Runner {
    /// Starts the agent. Returns before it has sent `Hello`.
    fn launch<'a>(&'a mut self, plan: &'a Plan) -> BoxFuture<'a, Result<Launched>>;

    /// Removes files and groups that outlive the machine, once it has ended or was killed. A microVM leaves none.
    fn clean(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// Events for the user after [`Self::clean`]; usually none.
    fn remarks(&self) -> Vec<Event> {
        Vec::new()
    }

    /// The resources that were exhausted, for a command whose error does not say so.
    fn shortages(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A launched agent.
pub struct Launched {
    /// From the agent.
    pub reader: Reader,
    /// To the agent.
    pub writer: Writer,
    /// The machine that runs it.
    pub machine: Box<dyn Machine>,
}

/// A microVM with its daemon, a container, or a sandbox. Dropping it kills it.
pub trait Machine {
    /// Resolves when an essential part has ended. May be dropped and called again.
    fn ended(&mut self) -> BoxFuture<'_, Ended>;
    /// Kills all of its processes.
    fn kill(&mut self);
    /// Kills its processes, and resolves when none is left that could write into the cache. For a machine that outlives its
    /// session, [`Runner::clean`] does this.
    fn gone(&mut self) -> BoxFuture<'_, ()>;
    /// The last lines that the guest's kernel or the container wrote, oldest first.
    fn last_words(&self) -> Vec<String>;

    /// The kernel's counts of memory shortage so far; `None` if the agent reads them.
    fn memory(&self) -> Option<MemoryEvents> {
        None
    }

    /// The directory of the host to whose file system steps write; `None` if they have a disk of their own.
    fn scratch(&self) -> Option<&Path> {
        None
    }

    /// Begins to count reads of the cache, if they are counted on the host. The guest is prepared, and no step has run.
    fn listen(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// The reads since [`Self::listen`], once; `None` if the agent counts them.
    fn reads(&mut self) -> BoxFuture<'_, Option<Reads>> {
        Box::pin(async { None })
    }
}

/// How a part of a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// `qemu`, `virtiofsd`, `docker`, `bwrap`.
    pub part: String,
    /// The predicate of the sentence: `ended (SIGKILL)`.
    pub how: String,
    /// Whether the end was orderly.
    pub orderly: bool,
    /// Its last lines of output.
    pub last_words: Vec<String>,
    /// The way out, if known.
    pub way_out: Option<String>,
}
