//! The microVM: QEMU, the servers of shares beside it, and the channels between them and kiln.
//!
//! Before it: the plan, and the files and daemons that the probe found. After it: `engine`, which sends requests to the agent.
//!
//! QEMU inherits a descriptor for everything that is not a file of the store: the agent's channel, the console, the monitor, the
//! network, the scratch disk and the connections to servers of shares have no names that could be left behind.

pub mod accelerator;
mod argv;
mod cmdline;
mod device;
mod frames;
mod isolation;
mod launch;
mod line;
mod machine;
mod monitor;
mod packet_filter;
pub mod plan;
pub mod probe;
mod servers;
mod share;
mod tsc;

use std::{
    os::fd::{OwnedFd, RawFd},
    path::PathBuf,
};

use anyhow::{Context, Result};
use tokio::net::UnixStream;

pub use argv::{Files, argv};
pub use isolation::isolation;
pub use launch::find;

use self::{line::fd, machine::Microvm, monitor::Monitor, packet_filter::PacketFilter, servers::Started};
use super::{BoxFuture, Launched, Runner};
use crate::{
    logfile::LogFile,
    plan::{Machine, Network, Plan},
    process::{Command, IdMap, Spawner, Stdio, Tail},
};

/// How many of the last lines of the console and of QEMU itself are kept.
const LAST_LINES: usize = 40;

/// QEMU, and its input besides the plan.
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
    /// The directory of the scratch disk.
    pub scratch_dir: PathBuf,
    /// The servers of shares; taken at launch.
    pub servers: Vec<Started>,
    /// The lease of the cache, held until QEMU ends; taken at launch.
    pub lease: Option<OwnedFd>,
    /// The log file of the console.
    pub console_log: Option<LogFile>,
}

/// QEMU's ends of its channels, with their descriptor numbers.
type Ends = Vec<(OwnedFd, RawFd)>;

impl Qemu<'_> {
    fn files(&self) -> Files<'_> {
        Files { qemu: &self.program, vmlinux: &self.vmlinux, initramfs: &self.initramfs, root: &self.root }
    }

    fn command(&mut self, plan: &Plan, ends: Ends) -> Result<Command> {
        let mut line = argv(plan, machine(plan)?, self.files()).into_iter();
        let program = line.next().context("the command line is empty")?;
        let scratch = self.scratch.take().context("the scratch disk was taken by an earlier launch")?;
        let mut command = Command::new(program)
            .args(line)
            // QEMU serves a hostile guest, so it does not get tokens in the user's environment.
            .clear_env()
            .stdin(Stdio::Null)
            .stdout(Stdio::Null)
            .stderr(Stdio::Piped)
            .fd(scratch, fd::SCRATCH);
        let lease = self.lease.take().map(|lease| (lease, fd::LEASE));
        command =
            ends.into_iter().chain(lease).fold(command, |command, (end, number)| command.fd(end, number));
        // For QEMU and its 9p server the invoking user has the ids of the step's user.
        let owner = plan.owner;
        Ok(match IdMap::appearing_as(owner.guest_uid, owner.guest_gid)? {
            Some(ids) => command.user_namespace(ids),
            None => command,
        })
    }

    fn start(&mut self, plan: &Plan) -> Result<Launched> {
        let (agent, agent_end) = channel("the agent's")?;
        let (console, console_end) = channel("the console's")?;
        let (monitor, monitor_end) = channel("the monitor's")?;
        let mut ends: Ends =
            vec![(agent_end, fd::AGENT), (console_end, fd::CONSOLE), (monitor_end, fd::MONITOR)];
        let mut servers = Vec::new();
        for Started { share, server, end } in self.servers.drain(..) {
            ends.push(end);
            servers.push((share, server));
        }
        ends.extend(network(plan)?);
        let command = self.command(plan, ends)?;
        let mut qemu = self.spawner.spawn(command)?;
        let stderr =
            Tail::follow(LAST_LINES, qemu.take_stderr().context("QEMU's stderr was piped above")?, None);
        let console = Tail::follow(LAST_LINES, console, self.console_log.take());
        let (reader, writer) = tokio::io::split(agent);
        let monitor = Monitor::follow(monitor, self.scratch_dir.clone());
        let machine = Box::new(Microvm::new(qemu, stderr, console, monitor, servers));
        Ok(Launched { reader: Box::pin(reader), writer: Box::pin(writer), machine })
    }
}

impl Runner for Qemu<'_> {
    fn launch<'a>(&'a mut self, plan: &'a Plan) -> BoxFuture<'a, Result<Launched>> {
        Box::pin(async move { self.start(plan) })
    }
}

fn machine(plan: &Plan) -> Result<&Machine> {
    plan.platform.machine().context("the plan is not one for a microVM")
}

/// kiln's end of a channel, and QEMU's.
fn channel(whose: &str) -> Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair().with_context(|| format!("make {whose} channel"))?;
    // QEMU expects blocking descriptors.
    let theirs = theirs.into_std().context("take a channel's end")?;
    theirs.set_nonblocking(false).context("make a channel's end blocking")?;
    Ok((ours, theirs.into()))
}

/// Starts the packet filter of a guest with a network. Returns QEMU's two ends of it.
fn network(plan: &Plan) -> Result<Ends> {
    match plan.network {
        Network::Off => Ok(Vec::new()),
        Network::On => {
            let Machine { slirp, host_loopback, .. } = machine(plan)?;
            let (card, slirp) = frames::start(PacketFilter::new(slirp.clone(), *host_loopback))?;
            Ok(vec![(card, fd::CARD), (slirp, fd::SLIRP)])
        }
    }
}
