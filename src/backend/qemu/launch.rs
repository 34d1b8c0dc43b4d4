//! From QEMU, found by the probe, to a runner: a kernel, an accelerator, the servers of shares.

use std::{
    ffi::OsString,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{
    Files, Start,
    accelerator::{self, Verdict},
    argv,
    argv::has_daemon,
    device::SLOTS,
    machine,
    plan::{MicrovmRules, spreads_requests},
    probe::Qemu as Program,
    servers::Servers,
    ssdt,
    start::Starting,
    template::{self, Origin, Template, Templates},
    tsc,
};
use crate::{
    backend::{Backend, BoxFuture, Launch, Runner, Tools},
    cache::Lease,
    event::{Event, Sink},
    guest,
    home::Home,
    host::{self, Host},
    image::{
        Feature, Kernel,
        initramfs::{self, Startup},
        scratch_disk,
    },
    plan::{
        BuildOptions, CacheMount, CacheShare, HostLoopback, Machine, Network, Plan, PlatformRules,
        RequestQueues, SourceShare, StartOption,
    },
    rundir,
};

/// QEMU, a kernel and an accelerator; the servers of shares once the plan is known.
pub struct Found {
    qemu: Program,
    kernel: Kernel,
    accelerator: Verdict,
    tsc_khz: Option<u32>,
    servers: Servers,
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
    Ok(Found { qemu, kernel, accelerator: verdict, tsc_khz, servers: Servers::default() })
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
            self.servers = Servers::find(tools, plan, machine(plan)?, sink).await?;
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
            let servers = self.servers.start(&launch)?;
            let scratch_dir = rundir::scratch_dir(env);
            let disk_bytes = machine(plan)?.disk_bytes;
            let template = self.template(&launch, sink).await?;
            let runner: Box<dyn Runner + 'a> = Box::new(super::Qemu {
                template,
                spawner,
                program: self.qemu.path.clone(),
                vmlinux: self.kernel.vmlinux.clone(),
                initramfs: make_initramfs(home, &self.kernel, Startup::Channel)?,
                root: image.path.clone(),
                scratch: Some(scratch_disk(home, spawner, scratch_dir, disk_bytes).await?),
                scratch_dir: scratch_dir.to_owned(),
                servers,
                lease: launch.lease.map(Lease::share).transpose()?,
                console_log: (launch.console_log)(sink),
            });
            Ok(runner)
        })
    }

    fn command_lines(&self, home: &Home, plan: &Plan, root: &Path) -> Result<Vec<Vec<OsString>>> {
        let Self { qemu, kernel, servers, accelerator: _, tsc_khz: _ } = self;
        let initramfs = initramfs_path(home, kernel, Startup::Channel)?;
        let files = Files { qemu: &qemu.path, vmlinux: &kernel.vmlinux, initramfs: &initramfs, root };
        let machine = machine(plan)?;
        let mut lines = match Starting::of(plan, machine, &self.kernel.modules) {
            Starting::Restored => self.warm_lines(home, plan, files)?,
            Starting::Boots | Starting::Unfit(_) => vec![argv(plan, machine, files, Start::Boot)],
        };
        lines.extend(servers.argv(plan)?);
        Ok(lines)
    }

    fn describe(&self, plan: &Plan) -> Vec<(&'static str, String)> {
        let Self { kernel, accelerator, .. } = self;
        let why = accelerator.why.as_deref().map_or(String::new(), |why| format!(" ({why})"));
        let mut lines = vec![("accelerator", format!("{}{why}", accelerator.accelerator))];
        if let Some(machine) = plan.platform.machine() {
            lines.push(("start", Starting::of(plan, machine, &self.kernel.modules).to_string()));
            lines.push(("disk", format!("{} GiB, sparse", machine.disk_bytes >> 30)));
            lines.push(("loopback", host_loopback(plan.network, machine)));
            lines.extend(self.devices(plan, machine).map(|devices| ("virtiofs", devices)));
        }
        lines.push(("kernel", format!("{} {}", kernel.version, kernel.vmlinux.display())));
        lines
    }
}

impl Found {
    /// The template of the guest, made if it is missing; `None` if the guest boots.
    async fn template(&self, launch: &Launch<'_, '_>, sink: &mut dyn Sink) -> Result<Option<Template>> {
        let Launch { home, spawner, plan, .. } = launch;
        let machine = machine(plan)?;
        match (Starting::of(plan, machine, &self.kernel.modules), machine.start) {
            (Starting::Restored, _) => {}
            (Starting::Unfit(why), StartOption::Warm) => return Err(template::not_possible(why)),
            (Starting::Boots | Starting::Unfit(_), _) => return Ok(None),
        }
        let table = ssdt::table();
        let initramfs = make_initramfs(home, &self.kernel, template_startup(&table))?;
        let argv = |memory: &Path| self.template_line(plan, machine, &initramfs, memory);
        let origin = self.origin(plan, machine, &argv);
        template::obtain(&Templates::of(home)?, &origin, plan, machine.start, spawner, sink).await
    }

    fn origin<'a>(
        &self,
        plan: &Plan,
        machine: &Machine,
        argv: &'a dyn Fn(&Path) -> Vec<OsString>,
    ) -> Origin<'a> {
        let [_device, qemu @ ..] = host::identity(&self.qemu.path).unwrap_or_default();
        let slots = if has_daemon(plan, machine) { SLOTS.len() as u32 } else { 0 };
        Origin { qemu, slots, argv }
    }

    fn template_line(
        &self,
        plan: &Plan,
        machine: &Machine,
        initramfs: &Path,
        memory: &Path,
    ) -> Vec<OsString> {
        // A template has no root.
        let files =
            Files { qemu: &self.qemu.path, vmlinux: &self.kernel.vmlinux, initramfs, root: Path::new("") };
        argv(plan, machine, files, Start::MakeTemplate { memory })
    }

    /// The command lines of a guest that is restored: that of its template, and its own.
    fn warm_lines(&self, home: &Home, plan: &Plan, files: Files<'_>) -> Result<Vec<Vec<OsString>>> {
        let machine = machine(plan)?;
        let table = ssdt::table();
        let initramfs = initramfs_path(home, &self.kernel, template_startup(&table))?;
        let line = |memory: &Path| self.template_line(plan, machine, &initramfs, memory);
        let key = self.origin(plan, machine, &line).key()?;
        let memory = Templates::path(home, &key);
        Ok(vec![line(&memory), argv(plan, machine, files, Start::Restore { memory: &memory })])
    }

    /// What kiln's own virtiofs devices serve, the number of their queues, and the reason for it.
    fn devices(&self, plan: &Plan, machine: &Machine) -> Option<String> {
        let queues = match machine.request_queues? {
            RequestQueues::KernelUsesOne => {
                format!("1 queue (kernel {} uses no more, Linux 6.11 does)", self.kernel.version)
            }
            RequestQueues::ForEachCpu(1) => "1 queue (for 1 processor)".into(),
            RequestQueues::ForEachCpu(count) => format!("{count} queues (one for each processor)"),
            RequestQueues::Requested(1) => "1 queue (as requested)".into(),
            RequestQueues::Requested(count) => format!("{count} queues (as requested)"),
        };
        let cache = plan.cache.as_ref().is_some_and(|cache| cache.share == CacheShare::Embedded);
        let shares = match (machine.source_has_daemon(), cache) {
            (true, true) => "the source and for the cache, each with",
            (true, false) => "the source,",
            (false, _) => "the cache,",
        };
        Some(format!("embedded for {shares} {queues}"))
    }
}

/// The line of `kiln plan` on the host's loopback.
fn host_loopback(network: Network, Machine { host_loopback, slirp, .. }: &Machine) -> String {
    match (network, host_loopback) {
        (Network::On, HostLoopback::On) => format!("the host's is open, at {}", Ipv4Addr::from(slirp.host())),
        (Network::On, HostLoopback::Off) | (Network::Off, _) => "the host's is closed".into(),
    }
}

/// The kernel features that a guest needs, in the order in which the agent uses them.
fn features(options: &BuildOptions) -> Vec<Feature> {
    let mut features =
        vec![Feature::Channel, Feature::Rng, Feature::Block, Feature::Erofs, Feature::Ext4, Feature::Overlay];
    if options.network == Network::On {
        features.push(Feature::Net);
    }
    let cache = CacheMount::decide(options).map(|cache| cache.has_daemon());
    let source = options.source.as_ref().map(|_| options.source_share == SourceShare::Virtiofs);
    let by_virtiofs: Vec<bool> = cache.into_iter().chain(source).collect();
    if by_virtiofs.contains(&false) {
        features.push(Feature::NineP);
    }
    if by_virtiofs.contains(&true) {
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
    Feature::Pci,
];

/// The directory of initramfs files in kiln's home.
const INITRAMFS: &str = "initramfs";

/// The initramfs for this kernel and agent.
fn make_initramfs(home: &Home, kernel: &Kernel, startup: Startup<'_>) -> Result<PathBuf> {
    initramfs::ensure(&home.dir(INITRAMFS)?, guest::AGENT, &kernel.modules, ALL_FEATURES, startup)
}

/// The path at which [`make_initramfs`] keeps it.
fn initramfs_path(home: &Home, kernel: &Kernel, startup: Startup<'_>) -> Result<PathBuf> {
    let directory = home.root().join(INITRAMFS);
    initramfs::path(&directory, guest::AGENT, &kernel.modules, ALL_FEATURES, startup)
}

/// The initramfs of a template has all modules loaded, and knows the transports of a build's devices.
fn template_startup(table: &[u8]) -> Startup<'_> {
    Startup::AllModules { path: ssdt::PATH, content: table }
}
