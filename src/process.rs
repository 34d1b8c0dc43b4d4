//! The only place that starts processes.
//!
//! Before it: the modules that know what to run build a [`Command`]. After it: they hold a [`Child`]. A child leads its own session,
//! dies with kiln (`PR_SET_PDEATHSIG`; the reaper kills its descendants), and inherits exactly the descriptors that were named. This
//! module must not know what QEMU, virtiofsd or mmdebstrap are.
//!
//! Children are bound to the *thread* that spawned them (`PR_SET_PDEATHSIG` in prctl(2)), so a [`Spawner`] is made in the
//! main thread and refuses to spawn from another one.

mod child;
mod command;
mod confined;
mod exec;
mod filter;
mod idmapped;
mod jail;
mod landlock;
mod memory;
mod mountinfo;
mod namespace;
mod ownership;
mod pidfd;
mod proc_tree;
mod reaper;
mod reaper_client;
mod removal;
mod syscall;
mod tail;
mod terminal;

use std::{
    ffi::OsString,
    os::fd::BorrowedFd,
    path::Path,
    sync::Arc,
    thread::{self, ThreadId},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tokio::{io::AsyncReadExt, time::timeout};
use tracing::debug;

use self::reaper_client::ReaperClient;
pub use self::{
    child::{Child, ExitStatus},
    command::{Command, Stdio},
    confined::{Boundary, Confinement, inherited, run_confined},
    filter::passes_filter,
    idmapped::{idmappable, idmapped},
    jail::{JAIL_ARGUMENT, JAIL_DIRECTORY, Jail, JailNetwork, jail_main},
    landlock::{LANDLOCK_WITH_SCOPES, landlock_version},
    memory::return_large_blocks,
    mountinfo::mount_points,
    namespace::{IdMap, IdRange, user_namespaces_usable},
    ownership::reclaim,
    pidfd::watch,
    reaper::reaper_main,
    reaper_client::{MARKER_VARIABLE, REAPER_ARGUMENT},
    removal::{detach_below, remove},
    tail::Tail,
    terminal::{RestoreAtEnd, Terminals},
};
use crate::{
    exit::{Code, Failure},
    login,
};

/// The most bytes of standard output that [`Spawner::output`] takes: far more than its programs print.
pub const OUTPUT_LIMIT_BYTES: usize = 16 << 20;

/// How much of the end of standard error is kept: enough for the last messages.
pub const STDERR_LIMIT_BYTES: usize = 64 << 10;

/// Starts children, none of which outlives kiln.
#[derive(Debug)]
pub struct Spawner {
    reaper: Arc<ReaperClient>,
    thread: ThreadId,
    withheld: Vec<OsString>,
}

/// Status and output of a program that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its whole standard output.
    pub stdout: Vec<u8>,
    /// The end of its standard error, at most [`STDERR_LIMIT_BYTES`].
    pub stderr: Vec<u8>,
}

impl Spawner {
    /// Starts the reaper, which is this program once more. To be called in the main thread, once for each
    /// run: a benchmark is many runs, one after the other.
    pub fn start() -> Result<Self> {
        Self::start_with(Path::new("/proc/self/exe"))
    }

    /// Starts `kiln` as the reaper, for callers that are not kiln themselves (tests).
    pub fn start_with(kiln: &Path) -> Result<Self> {
        let reaper =
            ReaperClient::start(kiln).with_context(|| format!("start the reaper {}", kiln.display()))?;
        Ok(Self { reaper: Arc::new(reaper), thread: thread::current().id(), withheld: Vec::new() })
    }

    /// Removes these variables, which hold secrets, from the environment of all children.
    #[must_use]
    pub fn withhold(mut self, variables: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.withheld.extend(variables.into_iter().map(Into::into));
        self
    }

    /// kiln's own program, for processes that are kiln once more.
    pub fn program(&self) -> &Path {
        self.reaper.kiln()
    }

    /// Starts a program. Needs a tokio runtime around it.
    pub fn spawn(&self, command: Command) -> Result<Child> {
        ensure!(thread::current().id() == self.thread, "children are spawned from the main thread only");
        // A kiln of one job has the addresses that this one was given.
        debug!(argv = login::hide(&format!("{:?}", command.argv()), "***@"), "spawn");
        let child = command.spawn(&self.reaper, &self.withheld)?;
        debug!(pid = child.id(), "spawned");
        Ok(child)
    }

    /// Runs a program to its end and returns its output; it is killed after `limit`.
    pub async fn output(&self, command: Command, limit: Duration) -> Result<Output> {
        let name = command.program_name();
        let mut child = self.spawn(command.stdout(Stdio::Piped).stderr(Stdio::Piped))?;
        let stdout = child.take_stdout().expect("stdout was piped above");
        let stderr = child.take_stderr().expect("stderr was piped above");
        let all = async {
            // Other processes of its session may hold the pipes: `wait` kills them.
            let (stdout, stderr, status) =
                tokio::try_join!(read_all(stdout, &name), read_end(stderr), child.wait())?;
            anyhow::Ok(Output { status, stdout, stderr })
        };
        match timeout(limit, all).await {
            Ok(output) => output.with_context(|| format!("run {name}")),
            Err(_) => Err(Failure::new(
                Code::Timeout,
                format!("{name} did not end within {} s", limit.as_secs_f64()),
                "Run it by hand to see what it waits for.",
            )
            .into()),
        }
    }

    /// Has the reaper remove `path` recursively, should kiln end without doing so.
    pub fn remove_at_end(&self, path: &Path) -> RemovalAtEnd {
        self.reaper.remove_at_end(path);
        RemovalAtEnd { reaper: Arc::clone(&self.reaper) }
    }

    /// Has the reaper restore a terminal's modes, should kiln end without doing so.
    pub fn terminals(&self) -> Terminals {
        Terminals { reaper: Arc::clone(&self.reaper) }
    }

    /// Keeps `fd` open until all processes of this run have ended, even if kiln is killed: a lock on it is held for so long.
    pub fn hold(&self, fd: BorrowedFd<'_>) {
        self.reaper.hold(fd);
    }

    /// Lets the reaper kill and remove all that is left of this run, and waits for its end. Children and guards must have been dropped,
    /// since each holds the socket to the reaper.
    pub fn finish(self) -> Result<()> {
        let Some(reaper) = Arc::into_inner(self.reaper) else {
            debug!("a child or path outlives the spawner: the reaper sweeps after kiln's end");
            return Ok(());
        };
        reaper.finish()
    }
}

/// Cancels [`Spawner::remove_at_end`].
#[derive(Debug, Clone)]
pub struct RemovalAtEnd {
    reaper: Arc<ReaperClient>,
}

impl RemovalAtEnd {
    /// `path` is removed, or is to be kept.
    pub fn forget(&self, path: &Path) {
        self.reaper.keep(path);
    }
}

async fn read_all(mut from: impl tokio::io::AsyncRead + Unpin, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    (&mut from).take(OUTPUT_LIMIT_BYTES as u64 + 1).read_to_end(&mut bytes).await?;
    ensure!(bytes.len() <= OUTPUT_LIMIT_BYTES, "{name} printed more than {OUTPUT_LIMIT_BYTES} bytes");
    Ok(bytes)
}

async fn read_end(mut from: impl tokio::io::AsyncRead + Unpin) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        if from.read_buf(&mut bytes).await? == 0 {
            break;
        }
        // Only now and then, so that a verbose program does not cost a copy per read.
        if bytes.len() > 2 * STDERR_LIMIT_BYTES {
            bytes.drain(..bytes.len() - STDERR_LIMIT_BYTES);
        }
    }
    bytes.drain(..bytes.len().saturating_sub(STDERR_LIMIT_BYTES));
    Ok(bytes)
}
