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
    sync::Arc,
};

use anyhow::{Context as _, Result};
use sha2::{Digest, Sha256};

use super::{
    Context, Prepared, Resolved, packages,
    prepare::{
        Backend,
        qemu::{self as microvm, Parts},
    },
};
use crate::{
    backend::{Runner, bubblewrap, docker, qemu},
    cache::{self, Held, Lease},
    engine::Injected,
    event::{Phases, Sink},
    guest,
    home::{self, Home},
    image::{Image, Key, Tree, scratch_disk},
    plan::{CacheSharing, Cgroup, Plan, Platform, RunnerKind},
    report, rundir,
    share::{self, spawned::Server},
};

/// A guest that can be started: nothing of the build runs yet.
pub(crate) struct Launched<'a> {
    pub(super) context: Context<'a>,
    pub(super) plan: Plan,
    pub(super) injected: Injected,
    pub(super) lease: Option<Arc<Lease>>,
    pub(super) runner: Box<dyn Runner + 'a>,
    /// What the cache held before.
    pub(super) held: Option<Held>,
}

impl Prepared {
    /// Makes the image, if there is none yet, and the runner with everything that it needs. The console goes to
    /// `console_log` as well, if there is one.
    ///
    /// # Errors
    /// For an image, a cache or a backend that cannot be had, and a signal.
    pub(crate) async fn launch<'a>(
        self,
        context: &Context<'a>,
        console_log: Option<&Path>,
        sink: &mut dyn Sink,
        phases: &mut Phases,
    ) -> Result<Launched<'a>> {
        let Self { resolved, request, injected, lease } = self;
        let (context, lease) = (context.clone(), lease.map(Arc::new));
        phases.enter("image");
        let mut interrupts = context.interrupts.clone();
        let making = async {
            let (Resolved { store, plan, .. }, spawner) = (&resolved, context.spawner);
            packages::check(store, &plan.image, &request.recipe.requests, spawner, sink).await?;
            store.ensure(&plan.image, spawner, sink).await
        };
        let image = tokio::select! {
            image = making => image?,
            error = interrupts.refuse() => return Err(error),
        };
        phases.enter("cache");
        let held = match &resolved.plan.cache {
            Some(cache) => cache::held(context.home, &cache.directory, cache.access)?,
            None => None,
        };
        phases.enter(match resolved.plan.runner() {
            RunnerKind::Qemu => "boot",
            RunnerKind::Docker => "import",
            // What an ordinary user's sandbox has for a root is unpacked.
            RunnerKind::Bubblewrap => "image",
        });
        let launch = Launch { context: &context, lease: lease.as_deref(), console_log };
        let runner = launch.runner(&resolved, &image, sink).await?;
        phases.enter("boot");
        Ok(Launched { context, plan: resolved.plan, injected, lease, runner, held })
    }
}

/// What every launch has at hand.
struct Launch<'l, 'a> {
    context: &'l Context<'a>,
    /// The lease of the cache: what uses the directory holds it as well.
    lease: Option<&'l Lease>,
    /// Where the console is kept, if it is.
    console_log: Option<&'l Path>,
}

impl<'a> Launch<'_, 'a> {
    /// The runner of this plan.
    async fn runner(
        &self,
        resolved: &Resolved,
        image: &Image,
        sink: &mut dyn Sink,
    ) -> Result<Box<dyn Runner + 'a>> {
        let Resolved { plan, store, backend } = resolved;
        let spawner = self.context.spawner;
        if let Some(lease) = self.lease {
            // A sandbox and a container hold nothing of kiln's: should it be killed, the reaper sees to their end.
            spawner.hold(lease.share()?.as_fd());
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
                        let tree = store.tree(image, found.ids, inside, spawner, sink).await?;
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
        found: &bubblewrap::probe::Bubblewrap,
        root: PathBuf,
        tree: Option<Tree>,
    ) -> Result<bubblewrap::Bubblewrap<'a>> {
        let directory = rundir::scratch_dir(self.context.env);
        let groups: &[Cgroup] = match &plan.platform {
            Platform::Bubblewrap(sandbox) => &sandbox.groups,
            Platform::Qemu(_) | Platform::Docker(_) => &[],
        };
        Ok(bubblewrap::Bubblewrap {
            spawner: self.context.spawner,
            bwrap: found.path.clone(),
            agent: agent(self.context.home)?,
            root,
            tree,
            scratch: bubblewrap::Scratch::make(directory, self.context.run_dir, self.context.spawner)?,
            groups: bubblewrap::Groups::make(groups, self.context.run_dir, self.context.spawner)?,
            ended_for_memory: 0,
            scratch_full: false,
        })
    }

    async fn docker(
        &self,
        found: &docker::probe::Docker,
        image: &Image,
        sink: &mut dyn Sink,
    ) -> Result<docker::Docker<'a>> {
        let parts = docker::Parts {
            spawner: self.context.spawner,
            docker: found.path.clone(),
            endpoint: found.endpoint.clone(),
            root: found.root.clone(),
            agent: agent(self.context.home)?,
            run_dir: self.context.run_dir.to_owned(),
        };
        docker::Docker::new(parts, image, sink).await
    }

    async fn qemu(&self, plan: &Plan, parts: &Parts, image: &Image) -> Result<qemu::Qemu<'a>> {
        let Parts { qemu, kernel, virtiofsd, accelerator: _ } = parts;
        let cache = match (virtiofsd, served(plan)) {
            (Some(daemon), Some((directory, owner))) => {
                let lease = self.lease.map(Lease::share).transpose()?;
                Some(Server::start(
                    self.context.spawner,
                    self.context.run_dir,
                    daemon,
                    &directory,
                    owner,
                    lease,
                )?)
            }
            _ => None,
        };
        let scratch = match &plan.platform {
            Platform::Qemu(machine) => {
                let directory = rundir::scratch_dir(self.context.env);
                Some(
                    scratch_disk(self.context.home, self.context.spawner, directory, machine.disk_bytes)
                        .await?,
                )
            }
            Platform::Docker(_) | Platform::Bubblewrap(_) => None,
        };
        Ok(qemu::Qemu {
            spawner: self.context.spawner,
            program: qemu.path.clone(),
            vmlinux: kernel.vmlinux.clone(),
            initramfs: microvm::initramfs(self.context.home, kernel)?,
            root: image.path.clone(),
            scratch,
            scratch_dir: rundir::scratch_dir(self.context.env).to_owned(),
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
pub(crate) fn agent_path(home: &Home) -> PathBuf {
    home.root().join(AGENTS).join(Key::from(Sha256::new_with_prefix(guest::AGENT)).as_str())
}

/// The agent's program as a file that can be bound: one for each content, for all runs.
fn agent(home: &Home) -> Result<PathBuf> {
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

/// What the cache's daemon serves, and for whom.
pub(crate) fn served(plan: &Plan) -> Option<(share::Directory, share::Owner)> {
    let cache = plan.cache.as_ref()?;
    let caching = match cache.sharing {
        CacheSharing::Shared => share::Caching::Shared,
        // The lease excludes all others.
        CacheSharing::Locked | CacheSharing::Private => share::Caching::Alone,
    };
    let path = cache.directory.clone();
    let directory = share::Directory { path, access: cache.access, caching, inside: plan.owner.ids() };
    Some((directory, share::Owner { uid: plan.owner.uid, gid: plan.owner.gid }))
}
