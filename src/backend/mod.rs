//! A backend: it launches the agent somewhere and gives kiln a channel to it. Nothing else differs between backends.
//!
//! Before it: the plan, the image, the shares. After it: `engine`, which speaks to the agent and ends what was launched.
//!
//! Each backend has a room with the same files: `probe` looks for it on the host, `plan` decides its part of the plan (pure),
//! `argv` is its command line (pure), `launch` makes its [`Runner`]. A new one is a room, a line in [`find`], a row in
//! [`crate::plan::RunnerTraits`] and a variant of [`crate::plan::Platform`].
//!
//! What a runner does:
//!
//! * It puts the plan's binds ([`crate::plan::Platform::binds`]) in their places, and nothing else of the host.
//! * It starts `AGENT --stdio` as the first process (PID 1 of a pid namespace of its own), with a pipe to its stdin and one
//!   from its stdout, which carry the wire and nothing else; its stderr goes into a tail for the last words. Environment,
//!   user, directory, umask, limits and signals of steps are the agent's business: a runner passes none of them.
//! * The hostname is [`crate::plan::HOSTNAME`]; the network is that of the host or docker's default, or loopback alone.
//! * When it is dropped or killed, and when kiln dies, all of it goes. The agent ends by itself when its stdin ends.

mod agent_file;
pub mod bubblewrap;
pub mod docker;
pub mod fake;
pub mod qemu;

use std::{ffi::OsString, future::Future, path::Path, pin::Pin};

use anyhow::Result;
use kiln_protocol::{MemoryEvents, Reads};

use crate::{
    agent::{Reader, Writer},
    cache::Lease,
    env::Env,
    event::{Event, Sink},
    home::Home,
    host::Host,
    image::{Image, Store},
    logfile::LogFile,
    plan::{BuildOptions, Plan, PlatformRules, RunnerKind},
    process::Spawner,
};

/// A future of a trait's method: two backends behind one pointer.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What a backend needs to look at the host.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// The environment.
    pub env: &'a Env,
    /// kiln's directory.
    pub home: &'a Home,
    /// Starts programs that are asked for their version.
    pub spawner: &'a Spawner,
}

/// A backend as it was found on this host.
pub trait Backend {
    /// Its part of the plan.
    fn rules(&self, options: &BuildOptions) -> Box<dyn PlatformRules>;

    /// Looks for what only the finished plan asks for, and adds what it found to the plan's notes.
    ///
    /// # Errors
    /// A failure of the host or of usage for a plan that cannot run here.
    fn complete<'a>(
        &'a mut self,
        tools: Tools<'a>,
        plan: &'a mut Plan,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<()>>;

    /// The phase of the build in which [`Backend::runner`] spends its time, as the summary calls it.
    fn phase(&self) -> &'static str;

    /// Makes the runner with all that it needs.
    ///
    /// # Errors
    /// For what this host cannot do.
    fn runner<'l, 'a: 'l>(
        &'l self,
        launch: Launch<'l, 'a>,
        sink: &'l mut dyn Sink,
    ) -> BoxFuture<'l, Result<Box<dyn Runner + 'a>>>;

    /// The command lines that a build of this plan starts, each with its program first. `root` is the image. What exists only
    /// once a build runs has a name in its place.
    ///
    /// # Errors
    /// When a path of them cannot be named.
    fn command_lines(&self, home: &Home, plan: &Plan, root: &Path) -> Result<Vec<Vec<OsString>>>;

    /// What `kiln plan` says of it: a word of at most 12 characters, and a line.
    fn describe(&self, plan: &Plan) -> Vec<(&'static str, String)>;
}

/// Looks for the one backend that was asked for.
///
/// # Errors
/// A host failure where it is not there, or cannot be used.
pub async fn find(
    options: &BuildOptions,
    tools: Tools<'_>,
    host: &Host,
    sink: &mut dyn Sink,
) -> Result<Box<dyn Backend>> {
    Ok(match options.runner {
        RunnerKind::Qemu => Box::new(qemu::find(options, tools, host, sink).await?),
        RunnerKind::Docker => Box::new(docker::find(tools).await?),
        RunnerKind::Bubblewrap => Box::new(bubblewrap::find(options, tools, host).await?),
    })
}

/// What a runner is made from.
pub struct Launch<'l, 'a> {
    /// The environment.
    pub env: &'l Env,
    /// kiln's directory.
    pub home: &'l Home,
    /// Starts processes.
    pub spawner: &'a Spawner,
    /// The run's own directory.
    pub run_dir: &'l Path,
    /// The plan.
    pub plan: &'l Plan,
    /// Where images are.
    pub store: &'l Store,
    /// The image of this plan.
    pub image: &'l Image,
    /// The lease of the cache: a process that uses the directory holds it as well.
    pub lease: Option<&'l Lease>,
    /// Opens the file in which a console is kept, if it is.
    pub console_log: &'l dyn Fn(&mut dyn Sink) -> Option<LogFile>,
}

/// The backend of one run.
pub trait Runner {
    /// Starts the agent; returns as soon as it can be spoken to or has a chance to say `Hello`.
    fn launch<'a>(&'a mut self, plan: &'a Plan) -> BoxFuture<'a, Result<Launched>>;

    /// Removes what outlives the machine, when that has ended or was killed. A microVM leaves nothing.
    fn clean(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// What the user should know of how it went, once all is cleaned: nothing, as a rule.
    fn remarks(&self) -> Vec<Event> {
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
