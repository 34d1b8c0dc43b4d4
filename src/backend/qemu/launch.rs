//! From QEMU, found by the probe, to a runner: a kernel, an accelerator, a server for the cache.

use std::{
    ffi::OsString,
    net::Ipv4Addr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{
    Files,
    accelerator::{self, Verdict},
    argv, machine,
    plan::{MicrovmRules, spreads_requests},
    probe::Qemu as Program,
    tsc,
};
use crate::{
    backend::{Backend, BoxFuture, Launch, Runner, Tools},
    cache::Lease,
    event::{Event, Sink},
    guest,
    home::Home,
    host::Host,
    image::{Feature, Kernel, initramfs, scratch_disk},
    plan::{
        BuildOptions, CacheMount, CacheShare, CacheSharing, HostLoopback, Machine, Network, Plan,
        PlatformRules, RequestQueues,
    },
    rundir,
    share::{
        self, Daemon, Server,
        embedded::Embedded,
        virtiofsd::{self, Service, Virtiofsd},
    },
};

/// QEMU, a kernel and an accelerator; the cache's daemon once the plan is known.
pub struct Found {
    qemu: Program,
    kernel: Kernel,
    accelerator: Verdict,
    tsc_khz: Option<u32>,
    daemon: Option<Box<dyn Daemon>>,
}

/// Looks for the programs and files of every microVM.
///
/// # Errors
/// A host failure that names what is missing.
pub async fn find(
    options: &BuildOptions,
    tools: Tools<'_>,
    host: &Host,
    sink: &mut dyn Sink,
) -> Result<Found> {
    let Tools { env, home, spawner } = tools;
    let qemu = Program::find_once(env, home, spawner, &host.arch).await?;
    let kernel = Kernel::find(home, env)?;
    let verdict = accelerator::choose(options.accelerator, home, spawner, &qemu, &kernel.vmlinux).await?;
    sink.emit(Event::Accelerator { accelerator: verdict.accelerator, why: verdict.why.clone() });
    let tsc_khz = tsc::khz(home)?;
    Ok(Found { qemu, kernel, accelerator: verdict, tsc_khz, daemon: None })
}

impl Backend for Found {
    fn rules(&self, options: &BuildOptions) -> Box<dyn PlatformRules> {
        let modules = self.kernel.modules.load_order(&features(options));
        Box::new(MicrovmRules {
            accelerator: self.accelerator.accelerator,
            tsc_khz: self.tsc_khz,
            modules: modules.iter().map(|module| module.guest_path()).collect(),
            spreads_requests: spreads_requests(&self.kernel.version),
        })
    }

    fn complete<'a>(
        &'a mut self,
        tools: Tools<'a>,
        plan: &'a mut Plan,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.daemon = daemon(tools, plan, sink).await?;
            Ok(())
        })
    }

    fn phase(&self) -> &'static str {
        "boot"
    }

    fn runner<'l, 'a: 'l>(
        &'l self,
        launch: Launch<'l, 'a>,
        sink: &'l mut dyn Sink,
    ) -> BoxFuture<'l, Result<Box<dyn Runner + 'a>>> {
        Box::pin(async move {
            let Launch { env, home, spawner, plan, image, .. } = launch;
            let cache = self.serve_cache(&launch)?;
            let scratch_dir = rundir::scratch_dir(env);
            let disk_bytes = machine(plan)?.disk_bytes;
            let runner: Box<dyn Runner + 'a> = Box::new(super::Qemu {
                spawner,
                program: self.qemu.path.clone(),
                vmlinux: self.kernel.vmlinux.clone(),
                initramfs: make_initramfs(home, &self.kernel)?,
                root: image.path.clone(),
                scratch: Some(scratch_disk(home, spawner, scratch_dir, disk_bytes).await?),
                scratch_dir: scratch_dir.to_owned(),
                cache,
                lease: launch.lease.map(Lease::share).transpose()?,
                console_log: (launch.console_log)(sink),
            });
            Ok(runner)
        })
    }

    fn command_lines(&self, home: &Home, plan: &Plan, root: &Path) -> Result<Vec<Vec<OsString>>> {
        let Self { qemu, kernel, daemon, accelerator: _, tsc_khz: _ } = self;
        let initramfs = initramfs_path(home, kernel)?;
        let files = Files { qemu: &qemu.path, vmlinux: &kernel.vmlinux, initramfs: &initramfs, root };
        let mut lines = vec![argv(plan, machine(plan)?, files)];
        if let (Some(daemon), Some((directory, owner))) = (daemon, cache_service(plan)) {
            lines.push(daemon.argv(&directory, owner, share::sandbox()?)?);
        }
        Ok(lines)
    }

    fn describe(&self, plan: &Plan) -> Vec<(&'static str, String)> {
        let Self { kernel, accelerator, .. } = self;
        let why = accelerator.why.as_deref().map_or(String::new(), |why| format!(" ({why})"));
        let mut lines = vec![("accelerator", format!("{}{why}", accelerator.accelerator))];
        if let Some(machine) = plan.platform.machine() {
            lines.push(("disk", format!("{} GiB, sparse", machine.disk_bytes >> 30)));
            lines.push(("loopback", host_loopback(plan.network, machine)));
            lines.extend(machine.request_queues.map(|queues| ("virtiofs", self.queues(queues))));
        }
        lines.push(("kernel", format!("{} {}", kernel.version, kernel.vmlinux.display())));
        lines
    }
}

impl Found {
    /// The queues of the virtiofs device, and the reason for their number.
    fn queues(&self, queues: RequestQueues) -> String {
        match queues {
            RequestQueues::KernelUsesOne => {
                format!("embedded, 1 queue (kernel {} uses no more, Linux 6.11 does)", self.kernel.version)
            }
            RequestQueues::ForEachCpu(1) => "embedded, 1 queue (for 1 processor)".into(),
            RequestQueues::ForEachCpu(count) => format!("embedded, {count} queues (one for each processor)"),
        }
    }

    /// Starts the cache's daemon, if the plan has one. Returns it with QEMU's end of the connection.
    fn serve_cache(&self, launch: &Launch<'_, '_>) -> Result<Option<(Server, OwnedFd)>> {
        let (Some(daemon), Some((directory, owner))) = (&self.daemon, cache_service(launch.plan)) else {
            return Ok(None);
        };
        let lease = launch.lease.map(Lease::share).transpose()?;
        Server::start(launch.spawner, launch.run_dir, &**daemon, &directory, owner, lease).map(Some)
    }
}

/// The line of `kiln plan` on the host's loopback.
fn host_loopback(network: Network, Machine { host_loopback, slirp, .. }: &Machine) -> String {
    match (network, host_loopback) {
        (Network::On, HostLoopback::On) => format!("the host's is open, at {}", Ipv4Addr::from(slirp.host())),
        (Network::On, HostLoopback::Off) | (Network::Off, _) => "the host's is closed".into(),
    }
}

/// The program that serves the cache, if it comes by virtiofs.
async fn daemon(tools: Tools<'_>, plan: &Plan, sink: &mut dyn Sink) -> Result<Option<Box<dyn Daemon>>> {
    let Some(cache) = &plan.cache else { return Ok(None) };
    Ok(match cache.share {
        CacheShare::NineP | CacheShare::Bind => None,
        CacheShare::Virtiofs => {
            let service = Service { uid: plan.owner.uid, access: cache.access };
            Some(Box::new(find_virtiofsd(tools, service, sink).await?))
        }
        CacheShare::Embedded => {
            let request_queues = machine(plan)?.request_queues.map_or(1, RequestQueues::count);
            Some(Box::new(Embedded { program: tools.spawner.program().to_owned(), request_queues }))
        }
    })
}

async fn find_virtiofsd(tools: Tools<'_>, service: Service, sink: &mut dyn Sink) -> Result<Virtiofsd> {
    let found = virtiofsd::find(tools.env, tools.home, tools.spawner, service).await?;
    // Missing paths are not reported once a daemon was found.
    for text in found.skipped.into_iter().filter(|line| !line.ends_with("is not there")) {
        sink.emit(Event::Note { text: format!("virtiofsd: skipped {text}") });
    }
    if let Some(text) = found.note {
        sink.emit(Event::Note { text: format!("virtiofsd: {text}") });
    }
    Ok(found.virtiofsd)
}

/// The directory that the cache's daemon serves, and its owner.
fn cache_service(plan: &Plan) -> Option<(share::Directory, share::Owner)> {
    let cache = plan.cache.as_ref()?;
    let caching = match cache.sharing {
        CacheSharing::Shared => share::Caching::Shared,
        // The lease excludes all other builds.
        CacheSharing::Locked | CacheSharing::Private => share::Caching::Alone,
    };
    let path = cache.directory.clone();
    let directory = share::Directory { path, access: cache.access, caching, inside: plan.owner.ids() };
    Some((directory, share::Owner { uid: plan.owner.uid, gid: plan.owner.gid }))
}

/// The kernel features that a guest needs, in the order in which the agent uses them.
fn features(options: &BuildOptions) -> Vec<Feature> {
    let mut features =
        vec![Feature::Channel, Feature::Rng, Feature::Block, Feature::Erofs, Feature::Ext4, Feature::Overlay];
    if options.network == Network::On {
        features.push(Feature::Net);
    }
    let cache = CacheMount::decide(options);
    let has_daemon = cache.as_ref().is_some_and(CacheMount::has_daemon);
    if options.source.is_some() || cache.is_some() && !has_daemon {
        features.push(Feature::NineP);
    }
    if has_daemon {
        features.push(Feature::Virtiofs);
    }
    features
}

/// Every feature that a guest may need. All builds use one initramfs, which has them all.
const ALL_FEATURES: &[Feature] = &[
    Feature::Channel,
    Feature::Rng,
    Feature::Block,
    Feature::Erofs,
    Feature::Ext4,
    Feature::Overlay,
    Feature::Net,
    Feature::NineP,
    Feature::Virtiofs,
];

/// The directory of initramfs files in kiln's home.
const INITRAMFS: &str = "initramfs";

/// The initramfs for this kernel and agent.
fn make_initramfs(home: &Home, kernel: &Kernel) -> Result<PathBuf> {
    initramfs::ensure(&home.dir(INITRAMFS)?, guest::AGENT, &kernel.modules, ALL_FEATURES)
}

/// The path at which [`make_initramfs`] keeps it.
fn initramfs_path(home: &Home, kernel: &Kernel) -> Result<PathBuf> {
    initramfs::path(&home.root().join(INITRAMFS), guest::AGENT, &kernel.modules, ALL_FEATURES)
}
