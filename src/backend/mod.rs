//! A backend launches the agent in a guest, and gives kiln a channel to it. Nothing else differs between backends.
//!
//! Before it: the plan, the image, the shares. After it: `engine`, which sends requests to the agent and ends the guest.
//!
//! Each backend has a directory with the same files: `probe` looks for it on the host, `plan` decides its part of the plan (pure),
//! `argv` is its command line (pure), `launch` makes its [`Runner`]. A new backend is a directory, a line in [`find`], a row in
//! [`crate::plan::RunnerTraits`] and a variant of [`crate::plan::Platform`].
//!
//! A runner of containers or sandboxes
//!
//! * mounts the plan's binds ([`crate::plan::Platform::binds`]), and nothing else of the host;
//! * starts `AGENT --stdio` as PID 1 of a new pid namespace. Pipes at its stdin and stdout carry only the protocol; the last lines
//!   of its stderr are kept. Environment, user, directory, umask, limits and signals of steps are set by the agent;
//! * sets the hostname [`crate::plan::HOSTNAME`]. The network is that of the host or docker's default, or loopback alone;
//! * ends all processes when it is dropped or killed, and when kiln dies. The agent exits when its stdin ends.

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

/// The future of a method of a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The tools for a look at the host.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// The environment.
    pub env: &'a Env,
    /// kiln's directory.
    pub home: &'a Home,
    /// Starts programs.
    pub spawner: &'a Spawner,
}

/// A backend that was found on this host.
pub trait Backend {
    /// Its part of the plan.
    fn rules(&self, options: &BuildOptions) -> Box<dyn PlatformRules>;

    /// Looks for programs that only this plan needs, and adds notes to the plan.
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

    /// Makes the runner.
    ///
    /// # Errors
    /// When this host lacks something that the runner needs.
    fn runner<'l, 'a: 'l>(
        &'l self,
        launch: Launch<'l, 'a>,
        sink: &'l mut dyn Sink,
    ) -> BoxFuture<'l, Result<Box<dyn Runner + 'a>>>;

    /// The command lines that a build of this plan starts, each with its program first. `root` is the image. Paths that exist only
    /// during a build have a placeholder.
    ///
    /// # Errors
    /// When one of their paths cannot be determined.
    fn command_lines(&self, home: &Home, plan: &Plan, root: &Path) -> Result<Vec<Vec<OsString>>>;

    /// Lines of `kiln plan`: a word of at most 12 characters, and a text.
    fn describe(&self, plan: &Plan) -> Vec<(&'static str, String)>;
}

/// Looks for the requested backend.
///
/// # Errors
/// A host failure if it is missing or not usable.
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

/// The input of a runner.
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
    /// The store of images.
    pub store: &'l Store,
    /// The image of this plan.
    pub image: &'l Image,
    /// The lease of the cache: processes that use the directory hold it, too.
    pub lease: Option<&'l Lease>,
    /// Opens the log file of the console, if there is one.
    pub console_log: &'l dyn Fn(&mut dyn Sink) -> Option<LogFile>,
}

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
