//! A guest of one variant, through the stages of every other guest of kiln: it runs one command and ends.

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use kiln_protocol::ExitStatus;
use tokio::sync::watch;

use super::{record::Record, variants::Share};
use crate::{
    build::{Context, Request},
    compile::Recipe,
    engine::{Console, Interrupts},
    env::Env,
    event::{Event, Phases, Sink},
    exit::{Code, Failure},
    home::Home,
    plan::{
        AcceleratorOption, BuildOptions, Bytes, CacheModeOption, HostLoopback, HostSettings, ImageReference,
        InsecureRepositories, InteractiveCommand, Network, PackagingOptions, Plan, RepositoryOptions, Slirp,
        SourceShare, StartOption, Trace, VirtiofsOption,
    },
    process::Spawner,
    rundir::RunDir,
};

/// How long one visit may take: far more than the slowest share needs for everything under emulation.
const VISIT_LIMIT: Duration = Duration::from_secs(3600);
/// How long to wait for a cache that was made a moment before and that no other build knows.
const CACHE_WAIT: Duration = Duration::from_secs(60);

/// What all guests of a benchmark have in common.
pub(crate) struct Guests<'a> {
    /// The environment.
    pub(crate) env: &'a Env,
    /// kiln's directory.
    pub(crate) home: &'a Home,
    /// Starts programs that say their version.
    pub(crate) spawner: &'a Spawner,
    /// A recipe without steps.
    pub(crate) recipe: Recipe,
    /// The root of all guests.
    pub(crate) image: ImageReference,
    /// The accelerator of microVMs.
    pub(crate) accelerator: AcceleratorOption,
    /// `--memory`.
    pub(crate) memory: Option<Bytes>,
    /// `--cpu`.
    pub(crate) cpus: Option<u32>,
    /// Certificates, proxies and name servers for the one guest that has a network.
    pub(crate) online: Online,
    /// `QEMU_KERNEL_CMDLINE`.
    pub(crate) kernel_arguments: String,
}

/// How a guest reaches registries: as a build without flags does.
#[derive(Debug, Clone)]
pub(crate) struct Online {
    /// Certificates and proxies.
    pub(crate) host_settings: HostSettings,
    /// The network of a microVM.
    pub(crate) slirp: Slirp,
}

/// The directories of one guest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Directories<'a> {
    /// What the guest has at `/home/build`.
    pub(super) tools: &'a Path,
    /// What it has as its cache, where its share has one.
    pub(super) cache: &'a Path,
    /// Whether it reaches registries.
    pub(super) network: Network,
}

impl Guests<'_> {
    /// The plan of a share on this host. Nothing is started but programs that say their version.
    ///
    /// # Errors
    /// When this host lacks what the share needs.
    pub(super) async fn plan(&self, share: &Share, directories: Directories<'_>) -> Result<Plan> {
        let request = self.request(share, directories);
        let resolved = request.resolve(self.env, self.home, self.spawner, &mut Log).await?;
        Ok(resolved.plan)
    }

    /// Runs a command in a fresh guest; the record has what it said.
    ///
    /// # Errors
    /// When the guest cannot be made, on a signal, and when the command fails.
    pub(super) async fn run(
        &self,
        share: &Share,
        directories: Directories<'_>,
        command: &[&str],
        record: &mut Record,
    ) -> Result<()> {
        // A run of its own: with its reaper the lease of its cache ends, and every process that could still write there.
        let spawner = Spawner::start()?;
        let done = self.run_with(&spawner, share, directories, command, record).await;
        spawner.finish()?;
        let status = done?;
        if status.success() {
            return Ok(());
        }
        let what =
            format!("the work in the guest ended with {status:?}; its last lines:{}", record.last_lines());
        Err(Failure::new(Code::Step, what, "--shares leaves out what does not work on this host."))
            .context("run the benchmark's work")
    }

    async fn run_with(
        &self,
        spawner: &Spawner,
        share: &Share,
        directories: Directories<'_>,
        command: &[&str],
        record: &mut Record,
    ) -> Result<ExitStatus> {
        let run_dir = RunDir::create(self.home, spawner)?;
        let context = Context {
            env: self.env,
            home: self.home,
            spawner,
            run_dir: run_dir.path(),
            // A signal drops the whole benchmark, guests included: there is nothing in them to be kept.
            interrupts: Interrupts::new(watch::channel(None).1),
        };
        let mut phases = Phases::begin("plan");
        let command = InteractiveCommand::Command(command.iter().map(|word| (*word).to_owned()).collect());
        let leased = self.request(share, directories).lease(&context, &mut Log).await?;
        let prepared = leased.prepare(&context, &mut Log).await?;
        let (prepared, step) = prepared.for_command(&command, record.stdin());
        let launched = prepared.launch(&context, None, &mut Log, &mut phases).await?;
        launched.run_command(step, record, &mut Log, &mut phases).await
    }

    fn request(&self, share: &Share, Directories { tools, cache, network }: Directories<'_>) -> Request {
        let (virtiofs, cache_mode, cache_sharing) = match share.cache {
            Some(cache) => (cache.virtiofs, cache.mode, Some(cache.sharing)),
            None => (VirtiofsOption::Off, CacheModeOption::Auto, None),
        };
        let online = match network {
            Network::On => self.online.clone(),
            Network::Off => Online { host_settings: HostSettings::default(), slirp: Slirp::default() },
        };
        let options = BuildOptions {
            // The same memory for every share: a guest with virtiofs is not restored.
            start: StartOption::Cold,
            missing_source: None,
            source_share: SourceShare::NineP,
            build_file: "guest.yaml".into(),
            runner: share.runner,
            accelerator: self.accelerator,
            image: Some(self.image.clone()),
            insecure_repositories: InsecureRepositories::Refused,
            repositories: RepositoryOptions::default(),
            source: Some(tools.to_owned()),
            hidden: Vec::new(),
            cache_dir: share.cache.map(|_| cache.to_owned()),
            cache_mode,
            cache_sharing,
            virtiofs,
            request_queues: share.request_queues,
            // A command has no packages.
            out_dir: tools.to_owned(),
            packaging: PackagingOptions::default(),
            memory: self.memory,
            cpus: self.cpus,
            cpu_model: None,
            disk: None,
            granted: BTreeSet::new(),
            network,
            host_loopback: HostLoopback::Off,
            trace: Trace::Off,
            boot_timeout: None,
            step_timeout: Some(VISIT_LIMIT),
            timeout: None,
            source_date_epoch: 0,
            host_settings: online.host_settings,
            slirp: online.slirp,
            kernel_arguments: self.kernel_arguments.clone(),
        };
        Request { recipe: self.recipe.clone(), options, cache_wait: CACHE_WAIT }
    }
}

/// Events of a guest that is one of many: only what went wrong matters, and only to the log.
struct Log;

impl Sink for Log {
    fn emit(&mut self, event: Event) {
        match event {
            Event::Warning { text, .. } => tracing::warn!("{text}"),
            Event::Note { text } => tracing::info!("{text}"),
            _ => {}
        }
    }
}
