//! The microVM: QEMU, the servers of shares beside it, and the channels between them and kiln.
//!
//! Before it: the plan, and the files and daemons that the probe found. After it: `engine`, which sends requests to the agent.
//!
//! QEMU inherits a descriptor for everything that is not a file of the store: the agent's channel, the console, the monitor, the
//! network, the scratch disk and the connections to servers of shares have no names that could be left behind.

pub mod accelerator;
mod argv;
mod channel;
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
mod qmp;
mod servers;
mod share;
mod ssdt;
mod start;
pub mod template;
mod tsc;

use std::{
    ffi::OsString,
    os::fd::{OwnedFd, RawFd},
    path::PathBuf,
};

use anyhow::{Context, Result};

pub use argv::{Files, Start, TCG_MODEL, argv};
pub use isolation::isolation;
pub use launch::find;

use self::{
    channel::channel, line::fd, machine::Microvm, monitor::Monitor, packet_filter::PacketFilter, qmp::Qmp,
    servers::Started, template::Template,
};
use super::{BoxFuture, Launched, Runner};
use crate::{
    agent::Session,
    exit::Failure,
    logfile::LogFile,
    plan::{Machine, Network, Plan, StartOption},
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
    /// The template to restore the guest from; `None` if it boots. Taken at launch.
    pub template: Option<Template>,
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

    fn command(&self, line: Vec<OsString>, plan: &Plan, ends: Ends) -> Result<Command> {
        let mut line = line.into_iter();
        let program = line.next().context("the command line is empty")?;
        let scratch = self.scratch.as_ref().context("the scratch disk was taken by an earlier launch")?;
        let mut command = Command::new(program)
            .args(line)
            // QEMU serves a hostile guest, so it does not get tokens in the user's environment.
            .clear_env()
            .stdin(Stdio::Null)
            .stdout(Stdio::Null)
            .stderr(Stdio::Piped)
            .fd(copy(scratch)?, fd::SCRATCH);
        let lease = self.lease.as_ref().map(copy).transpose()?.map(|lease| (lease, fd::LEASE));
        command =
            ends.into_iter().chain(lease).fold(command, |command, (end, number)| command.fd(end, number));
        // For QEMU and its 9p server the invoking user has the ids of the step's user.
        let owner = plan.owner;
        Ok(match IdMap::appearing_as(owner.guest_uid, owner.guest_gid)? {
            Some(ids) => command.user_namespace(ids),
            None => command,
        })
    }

    /// The command line, and the descriptors of a template.
    async fn line(&self, plan: &Plan, template: Option<&Template>) -> Result<(Vec<OsString>, Ends)> {
        let machine = machine(plan)?;
        let Some(template) = template else {
            return Ok((argv(plan, machine, self.files(), Start::Boot), Vec::new()));
        };
        let memory = template.memory();
        let line = argv(plan, machine, self.files(), Start::Restore { memory: &memory });
        let mut ends = vec![(template::state(template)?, fd::STATE)];
        if argv::has_daemon(plan, machine) {
            let template = template.clone();
            let copy = tokio::task::spawn_blocking(move || template::copy_of_memory(&template));
            ends.push((copy.await.context("copy the memory of a template")??, fd::MEMORY));
        }
        Ok((line, ends))
    }

    async fn start(&mut self, plan: &Plan) -> Result<Launched> {
        let Some(template) = self.template.take() else { return self.run(plan, None).await };
        match self.run(plan, Some(&template)).await {
            Err(error) if machine(plan)?.start == StartOption::Auto => {
                tracing::debug!(error = %format!("{error:#}"), "the template is removed, and the guest boots");
                template.remove();
                self.run(plan, None).await
            }
            launched => launched,
        }
    }

    /// Starts QEMU, and waits until a template was restored.
    async fn run(&mut self, plan: &Plan, template: Option<&Template>) -> Result<Launched> {
        let (agent, agent_end) = channel("the agent's")?;
        let (console, console_end) = channel("the console's")?;
        let (monitor, monitor_end) = channel("the monitor's")?;
        let (line, mut ends) = self.line(plan, template).await?;
        ends.extend([(agent_end, fd::AGENT), (console_end, fd::CONSOLE), (monitor_end, fd::MONITOR)]);
        for Started { end: (end, number), .. } in &self.servers {
            ends.push((copy(end)?, *number));
        }
        ends.extend(network(plan)?);
        let mut qemu = self.spawner.spawn(self.command(line, plan, ends)?)?;
        let mut stderr =
            Tail::follow(LAST_LINES, qemu.take_stderr().context("QEMU's stderr was piped above")?, None);
        let (reader, writer) = tokio::io::split(agent);
        let mut session = Session::new(Box::pin(reader), Box::pin(writer));
        let mut qmp = Qmp::new(monitor);
        if template.is_some()
            && let Err(error) =
                template::resume(&mut qmp, &mut session, &share::plugged(plan, machine(plan)?)).await
        {
            qemu.kill();
            let words = stderr.last_lines().await.unwrap_or_default().join("\n  ");
            let what = format!("QEMU has not restored a guest from a template: {error:#}\n  {words}");
            return Err(Failure::host(what, "--start cold does without templates.").into());
        }
        let console = Tail::follow(LAST_LINES, console, self.console_log.take());
        let (reader, writer) = session.into_channel();
        let monitor = Monitor::follow(qmp, self.scratch_dir.clone());
        // From here on QEMU alone has the disk, the lease and the connections.
        (self.scratch, self.lease) = (None, None);
        let servers = self.servers.drain(..).map(|Started { share, server, .. }| (share, server)).collect();
        let machine = Box::new(Microvm::new(qemu, stderr, console, monitor, servers));
        Ok(Launched { reader, writer, machine })
    }
}

impl Runner for Qemu<'_> {
    fn launch<'a>(&'a mut self, plan: &'a Plan) -> BoxFuture<'a, Result<Launched>> {
        Box::pin(self.start(plan))
    }
}

/// A descriptor for a QEMU that may have to be started once more.
fn copy(fd: &OwnedFd) -> Result<OwnedFd> {
    fd.try_clone().context("copy a descriptor for QEMU")
}

fn machine(plan: &Plan) -> Result<&Machine> {
    plan.platform.machine().context("the plan is not one for a microVM")
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
