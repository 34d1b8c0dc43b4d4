//! The microVM: QEMU, the daemon beside it, and the channels between them and kiln.
//!
//! Before it: the plan, and the files and daemons that `commands` found. After it: `engine`, which speaks to the agent.
//!
//! Everything that QEMU opens and that is not a file of the store is handed to it as a descriptor: the agent's channel,
//! the console, the scratch disk and the connection to virtiofsd have no names that could be left behind.

mod argv;
mod cmdline;
mod machine;

use std::{fs::File, os::fd::OwnedFd, path::PathBuf};

use anyhow::{Context, Result, bail};
use tokio::net::UnixStream;

pub use argv::{Files, argv};

use self::machine::Microvm;
use super::{Eventually, Launched, Runner};
use crate::{
    plan::{Plan, Platform},
    process::{Command, IdMap, Spawner, Stdio, Tail},
    share::spawned::Server,
};

/// How many of the last lines of the console and of QEMU itself are kept.
const LAST_LINES: usize = 40;

/// QEMU and what it needs besides the plan.
pub struct Qemu<'a> {
    /// Starts it.
    pub spawner: &'a Spawner,
    /// The program.
    pub program: PathBuf,
    /// An uncompressed kernel with a PVH entry.
    pub vmlinux: PathBuf,
    /// The agent and its modules.
    pub initramfs: PathBuf,
    /// The root's erofs image.
    pub root: PathBuf,
    /// The scratch disk, formatted; taken at launch.
    pub scratch: Option<OwnedFd>,
    /// The cache's server and QEMU's end of the connection to it; taken at launch.
    pub cache: Option<(Server, OwnedFd)>,
    /// The lease of the cache, held until QEMU ends; taken at launch.
    pub lease: Option<OwnedFd>,
    /// Where the console is kept.
    pub console_log: Option<File>,
}

/// QEMU's ends of its channels.
struct Ends {
    agent: OwnedFd,
    console: OwnedFd,
    cache: Option<OwnedFd>,
}

impl Qemu<'_> {
    fn files(&self) -> Files<'_> {
        Files { qemu: &self.program, vmlinux: &self.vmlinux, initramfs: &self.initramfs, root: &self.root }
    }

    fn command(&mut self, plan: &Plan, ends: Ends) -> Result<Command> {
        let Ends { agent, console, cache } = ends;
        let Platform::Qemu(machine) = &plan.platform else { bail!("the plan is not one for a microVM") };
        let mut line = argv(plan, machine, self.files()).into_iter();
        let program = line.next().context("the command line is empty")?;
        let scratch = self.scratch.take().context("the scratch disk was taken by an earlier launch")?;
        let mut command = Command::new(program)
            .args(line)
            // It serves a guest that nobody trusts: tokens of the user's are not in its reach.
            .clear_env()
            .stdin(Stdio::Null)
            .stdout(Stdio::Null)
            .stderr(Stdio::Piped)
            .fd(agent, argv::fd::AGENT)
            .fd(console, argv::fd::CONSOLE)
            .fd(scratch, argv::fd::SCRATCH);
        if let Some(connection) = cache {
            command = command.fd(connection, argv::fd::VIRTIOFS);
        }
        if let Some(lease) = self.lease.take() {
            command = command.fd(lease, argv::fd::LEASE);
        }
        // In QEMU's eyes, and so in those of its 9p server, the invoking user is the step's user.
        let owner = plan.owner;
        Ok(match IdMap::appearing_as(owner.inside, owner.inside)? {
            Some(ids) => command.user_namespace(ids),
            None => command,
        })
    }

    fn start(&mut self, plan: &Plan) -> Result<Launched> {
        let (agent, agent_end) = UnixStream::pair().context("make the agent's channel")?;
        let (console, console_end) = UnixStream::pair().context("make the console's channel")?;
        let (server, connection) = self.cache.take().unzip();
        let ends = Ends { agent: blocking(agent_end)?, console: blocking(console_end)?, cache: connection };
        let command = self.command(plan, ends)?;
        let mut qemu = self.spawner.spawn(command)?;
        let stderr =
            Tail::follow(LAST_LINES, qemu.take_stderr().context("QEMU's stderr was piped above")?, None);
        let console = Tail::follow(LAST_LINES, console, self.console_log.take());
        let (reader, writer) = tokio::io::split(agent);
        let machine = Box::new(Microvm::new(qemu, stderr, console, server));
        Ok(Launched { reader: Box::pin(reader), writer: Box::pin(writer), machine })
    }
}

impl Runner for Qemu<'_> {
    fn launch<'a>(&'a mut self, plan: &'a Plan) -> Eventually<'a, Result<Launched>> {
        Box::pin(async move { self.start(plan) })
    }
}

/// QEMU expects descriptors that block; tokio's do not.
fn blocking(end: UnixStream) -> Result<OwnedFd> {
    let end = end.into_std().context("take a channel's end")?;
    end.set_nonblocking(false).context("make a channel's end blocking")?;
    Ok(end.into())
}
