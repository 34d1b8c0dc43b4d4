//! What a microVM is started from: QEMU, a kernel, what executes the guest, and a server for the cache.

use anyhow::Result;

use super::Tools;
use crate::{
    backend::qemu::{
        accelerator::{self, Verdict},
        probe::Qemu,
    },
    env::Env,
    event::{Event, Sink},
    guest,
    home::Home,
    host::Host,
    image::{Feature, Kernel, initramfs},
    plan::{self, AcceleratorOption, BuildOptions, Plan, PlatformFacts, VirtiofsOption},
    process::Spawner,
    share::virtiofsd::{self, Service, Virtiofsd},
};

/// All of it.
pub(crate) struct Parts {
    pub(crate) qemu: Qemu,
    pub(crate) kernel: Kernel,
    pub(crate) virtiofsd: Option<Virtiofsd>,
    pub(crate) accelerator: Verdict,
}

/// What the plan is made of; the server follows from the plan.
pub(super) struct Found {
    qemu: Qemu,
    kernel: Kernel,
    accelerator: Verdict,
}

/// Looks for what a microVM needs in any case.
pub(super) async fn find(
    accelerator: AcceleratorOption,
    tools: &Tools<'_>,
    host: &Host,
    sink: &mut dyn Sink,
) -> Result<Found> {
    let Tools { env, home, spawner } = *tools;
    let qemu = Qemu::find_once(env, home, spawner, &host.arch).await?;
    let kernel = Kernel::find(home, env)?;
    let verdict = accelerator::choose(accelerator, home, spawner, &qemu, &kernel.vmlinux).await?;
    sink.emit(Event::Accelerator { accelerator: verdict.accelerator.to_string(), why: verdict.why.clone() });
    Ok(Found { qemu, kernel, accelerator: verdict })
}

impl Found {
    /// As the plan takes it.
    pub(super) fn facts(&self, options: &BuildOptions) -> PlatformFacts {
        let modules = self.kernel.modules.load_order(&features(options));
        PlatformFacts::Qemu {
            accelerator: self.accelerator.accelerator,
            modules: modules.iter().map(|module| module.guest_path()).collect(),
        }
    }

    /// Adds what the plan asks for.
    pub(super) async fn complete(self, tools: &Tools<'_>, plan: &Plan, sink: &mut dyn Sink) -> Result<Parts> {
        let Self { qemu, kernel, accelerator } = self;
        let Tools { env, home, spawner } = *tools;
        let virtiofsd = match &plan.cache {
            Some(cache) if cache.has_daemon() => {
                let service = Service { uid: plan.owner.uid, access: cache.access };
                Some(virtiofsd(env, home, spawner, service, sink).await?)
            }
            Some(_) | None => None,
        };
        Ok(Parts { qemu, kernel, virtiofsd, accelerator })
    }
}

async fn virtiofsd(
    env: &Env,
    home: &Home,
    spawner: &Spawner,
    service: Service,
    sink: &mut dyn Sink,
) -> Result<Virtiofsd> {
    let found = virtiofsd::find(env, home, spawner, service).await?;
    // Places where there is simply nothing are of no interest once one was found.
    for text in found.passed_over.into_iter().filter(|line| !line.ends_with("is not there")) {
        sink.emit(Event::Note { text: format!("virtiofsd: passed over {text}") });
    }
    if let Some(text) = found.note {
        sink.emit(Event::Note { text: format!("virtiofsd: {text}") });
    }
    Ok(found.virtiofsd)
}

/// What the world of this plan needs of the kernel, in the order in which the agent uses it.
fn features(options: &BuildOptions) -> Vec<Feature> {
    let mut features =
        vec![Feature::Channel, Feature::Rng, Feature::Block, Feature::Erofs, Feature::Ext4, Feature::Overlay];
    if options.network == plan::Network::On {
        features.push(Feature::Net);
    }
    let cache_by_9p = options.cache_dir.is_some() && options.virtiofs == VirtiofsOption::Off;
    if options.source.is_some() || cache_by_9p {
        features.push(Feature::NineP);
    }
    if options.cache_dir.is_some() && options.virtiofs == VirtiofsOption::Spawned {
        features.push(Feature::Virtiofs);
    }
    features
}

/// Every feature that a world may need: they are in the initramfs, so that there is one for all builds.
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

/// The initramfs for this kernel and agent.
pub(in crate::build) fn initramfs(home: &Home, kernel: &Kernel) -> Result<std::path::PathBuf> {
    initramfs::ensure(&home.dir(INITRAMFS)?, guest::AGENT, &kernel.modules, ALL_FEATURES)
}

/// Where [`initramfs`] keeps it.
pub(crate) fn initramfs_path(home: &Home, kernel: &Kernel) -> Result<std::path::PathBuf> {
    initramfs::path(&home.root().join(INITRAMFS), guest::AGENT, &kernel.modules, ALL_FEATURES)
}

/// The directory of initramfs files in kiln's home.
const INITRAMFS: &str = "initramfs";
