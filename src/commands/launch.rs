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

use std::{
    fs::Permissions,
    io::Write,
    os::{fd::AsFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::prepare::{
    Backend, Prepared,
    qemu::{self as microvm, Parts},
};
use crate::{
    cache::Lease,
    env::Env,
    event::Sink,
    guest,
    home::{self, Home},
    host,
    image::{Image, Key, Tree, scratch_disk},
    plan::{Cgroup, Plan, Platform},
    process::Spawner,
    report, rundir,
    runner::{Runner, bubblewrap, docker, qemu},
    share::spawned::Server,
};

/// What every launch has at hand.
pub(super) struct Launch<'a> {
    pub env: &'a Env,
    pub home: &'a Home,
    pub spawner: &'a Spawner,
    /// The run's own directory.
    pub run_dir: &'a Path,
    /// The lease of the cache: what uses the directory holds it as well.
    pub lease: Option<&'a Lease>,
    /// Where the console is kept, if it is.
    pub console_log: Option<&'a Path>,
}

impl<'a> Launch<'a> {
    /// The runner of this plan, with everything it needs; nothing of the build runs yet.
    pub(super) async fn runner(
        &self,
        prepared: &Prepared,
        image: &Image,
        sink: &mut dyn Sink,
    ) -> Result<Box<dyn Runner + 'a>> {
        let Prepared { plan, store, backend } = prepared;
        if let Some(lease) = self.lease {
            // A sandbox and a container hold nothing of kiln's: should it be killed, the reaper sees to their end.
            self.spawner.hold(lease.share()?.as_fd());
            if plan.writes_through() {
                lease.begin_writes()?;
            }
        }
        match backend {
            Backend::Qemu(parts) => Ok(Box::new(self.qemu(plan, parts, image).await?)),
            Backend::Docker(found) => Ok(Box::new(self.docker(found, image, sink).await?)),
            Backend::Bubblewrap(found) => {
                let (root, tree) = match found.mounts_images {
                    true => (image.path.clone(), None),
                    false => {
                        let inside = plan.owner.ids();
                        let tree = store.tree(image, found.ids, inside, self.spawner, sink).await?;
                        (tree.path.clone(), Some(tree))
                    }
                };
                Ok(Box::new(self.bubblewrap(plan, found, root, tree)?))
            }
        }
    }

    fn bubblewrap(
        &self,
        plan: &Plan,
        found: &host::bubblewrap::Bubblewrap,
        root: PathBuf,
        tree: Option<Tree>,
    ) -> Result<bubblewrap::Bubblewrap<'a>> {
        let directory = rundir::scratch_dir(self.env);
        let groups: &[Cgroup] = match &plan.platform {
            Platform::Bubblewrap(sandbox) => &sandbox.groups,
            Platform::Qemu(_) | Platform::Docker(_) => &[],
        };
        Ok(bubblewrap::Bubblewrap {
            spawner: self.spawner,
            bwrap: found.path.clone(),
            agent: agent(self.home)?,
            root,
            tree,
            scratch: bubblewrap::Scratch::make(directory, self.run_dir, self.spawner)?,
            groups: bubblewrap::Groups::make(groups, self.run_dir, self.spawner)?,
            ended_for_memory: 0,
            scratch_full: false,
        })
    }

    async fn docker(
        &self,
        found: &host::docker::Docker,
        image: &Image,
        sink: &mut dyn Sink,
    ) -> Result<docker::Docker<'a>> {
        let parts = docker::Parts {
            spawner: self.spawner,
            docker: found.path.clone(),
            endpoint: found.endpoint.clone(),
            root: found.root.clone(),
            agent: agent(self.home)?,
            run_dir: self.run_dir.to_owned(),
        };
        docker::Docker::new(parts, image, sink).await
    }

    async fn qemu(&self, plan: &Plan, parts: &Parts, image: &Image) -> Result<qemu::Qemu<'a>> {
        let Parts { qemu, kernel, virtiofsd, accelerator: _ } = parts;
        let cache = match (virtiofsd, super::plan::served(plan)) {
            (Some(daemon), Some((directory, owner))) => {
                let lease = self.lease.map(Lease::share).transpose()?;
                Some(Server::start(self.spawner, self.run_dir, daemon, &directory, owner, lease)?)
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
            scratch_dir: rundir::scratch_dir(self.env).to_owned(),
            cache,
            lease: self.lease.map(Lease::share).transpose()?,
            console_log: self.console_log.and_then(report::console_log),
        })
    }
}

/// So many agents are kept: one for each version of kiln that is used in turn.
const MOST_AGENTS: usize = 8;

/// The directory of [`agent`]'s files in kiln's home.
const AGENTS: &str = "agents";

/// Where [`agent`] keeps its file.
pub(super) fn agent_path(home: &Home) -> PathBuf {
    home.root().join(AGENTS).join(Key::from(Sha256::new_with_prefix(guest::AGENT)).as_str())
}

/// The agent's program as a file that can be bound: one for each content, for all runs.
pub(super) fn agent(home: &Home) -> Result<PathBuf> {
    let directory = home.dir(AGENTS)?;
    let path = agent_path(home);
    if path.exists() {
        home::used(&path);
        return Ok(path);
    }
    let context = || format!("write {}", path.display());
    let mut file = tempfile::NamedTempFile::new_in(&directory).with_context(context)?;
    file.write_all(guest::AGENT).with_context(context)?;
    file.as_file().set_permissions(Permissions::from_mode(0o755)).with_context(context)?;
    // Two that make it at once make the same: the last rename wins.
    file.into_temp_path().persist(&path).with_context(context)?;
    home::bound(&directory, MOST_AGENTS, |_| true)?;
    Ok(path)
}
