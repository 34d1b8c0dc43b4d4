//! From a plan and what was prepared for its runner to the runner itself: the one place that knows all backends.
//!
//! A new backend adds an arm to `prepare` (what it needs of the host), one here, and a [`Runner`]. What a runner does:
//!
//! * It puts the plan's binds (`Platform::Docker`, `Platform::Bubblewrap`) in their places, and nothing else of the host.
//! * It starts `AGENT --stdio` as the first process (PID 1 of a pid namespace of its own), with a pipe to its stdin and one
//!   from its stdout, which carry the wire and nothing else; its stderr goes into a tail for the last words. Environment,
//!   user, directory, umask, limits and signals of steps are the agent's business: a runner passes none of them.
//! * The hostname is [`crate::plan::HOSTNAME`]; the network is that of the host or docker's default, or loopback alone.
//! * When it is dropped or killed, and when kiln dies, all of it goes. The agent ends by itself when its stdin ends.

use std::path::Path;

use anyhow::Result;

use super::prepare::{
    Backend, Prepared,
    qemu::{self as microvm, Parts},
};
use crate::{
    env::Env,
    home::Home,
    image::{Image, scratch_disk},
    plan::{Plan, Platform},
    process::Spawner,
    rundir,
    runner::{Runner, qemu},
    share::spawned::Server,
};

/// What every launch has at hand.
pub(super) struct Launch<'a> {
    pub env: &'a Env,
    pub home: &'a Home,
    pub spawner: &'a Spawner,
    /// The run's own directory.
    pub run_dir: &'a Path,
    /// Where the console is kept, if it is.
    pub console_log: Option<&'a Path>,
}

impl<'a> Launch<'a> {
    /// The runner of this plan, with everything it needs; nothing of the build runs yet.
    pub(super) async fn runner(&self, prepared: &Prepared, image: &Image) -> Result<Box<dyn Runner + 'a>> {
        let Prepared { plan, store: _, backend } = prepared;
        match backend {
            Backend::Qemu(parts) => Ok(Box::new(self.qemu(plan, parts, image).await?)),
        }
    }

    async fn qemu(&self, plan: &Plan, parts: &Parts, image: &Image) -> Result<qemu::Qemu<'a>> {
        let Parts { qemu, kernel, virtiofsd, accelerator: _ } = parts;
        let cache = match (virtiofsd, super::plan::served(plan)) {
            (Some(daemon), Some((directory, owner))) => {
                Some(Server::start(self.spawner, self.run_dir, daemon, &directory, owner)?)
            }
            _ => None,
        };
        let scratch = match &plan.platform {
            Platform::Qemu(machine) => {
                let directory = rundir::scratch_dir(self.env);
                Some(scratch_disk(self.home, self.spawner, directory, machine.disk_bytes).await?)
            }
            Platform::Docker(_) | Platform::Bubblewrap(_) => None,
        };
        Ok(qemu::Qemu {
            spawner: self.spawner,
            program: qemu.path.clone(),
            vmlinux: kernel.vmlinux.clone(),
            initramfs: microvm::initramfs(self.home, kernel)?,
            root: image.path.clone(),
            scratch,
            cache,
            console_log: self.console_log.map(microvm::console_log).transpose()?,
        })
    }
}
