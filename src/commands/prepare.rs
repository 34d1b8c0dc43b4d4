//! Everything between a recipe and a launch: what the host has is looked up once, and the plan is made of it.

use std::{fs::File, path::Path};

use anyhow::{Context, Result};

use crate::{
    compile::Recipe,
    env::Env,
    event::{Event, Sink},
    exit::Failure,
    guest,
    home::Home,
    host::{
        Host,
        accelerator::{self, Verdict},
        qemu::Qemu,
        virtiofsd::{self, Virtiofsd},
    },
    image::{Feature, Kernel, Store, initramfs, locate},
    plan::{
        self, AcceleratorWish, CacheShare, Facts, ImageRecipe, ImageReference, Plan, VirtiofsWish, Wishes,
        map_packages,
    },
    process::Spawner,
};

/// The root of a guest where neither the command line nor the build file says more.
const DEFAULT_IMAGE: &str = "debian:bookworm";

/// What a microVM is started from.
pub(super) struct Prepared {
    pub plan: Plan,
    pub store: Store,
    pub qemu: Qemu,
    pub kernel: Kernel,
    pub virtiofsd: Option<Virtiofsd>,
    pub accelerator: Verdict,
}

/// What is asked for, and with what it is answered.
pub(super) struct Question<'a> {
    pub recipe: &'a Recipe,
    pub wishes: &'a Wishes,
    pub accelerator: AcceleratorWish,
    pub env: &'a Env,
    pub home: &'a Home,
    pub spawner: &'a Spawner,
}

/// Looks at the host and makes the plan. Starts nothing but programs that are asked for their version, and, for `auto`,
/// the probe of KVM where no verdict is kept.
pub(super) async fn prepare(question: Question<'_>, sink: &mut dyn Sink) -> Result<Prepared> {
    let Question { recipe, wishes, accelerator, env, home, spawner } = question;
    let host = Host::probe();
    let image = image(recipe, wishes, sink)?;
    let qemu = Qemu::find(env, spawner, &host.arch).await?;
    let kernel = Kernel::find(home, env)?;
    let verdict = accelerator::choose(accelerator, home, spawner, &qemu, &kernel.vmlinux).await?;
    sink.emit(Event::Accelerator { accelerator: verdict.accelerator.to_string(), why: verdict.why.clone() });
    let shell = shell(&image);
    let modules =
        kernel.modules.load_order(&features(wishes)).iter().map(|module| module.guest_path()).collect();
    let facts = Facts { host, accelerator: verdict.accelerator, image, shell, modules };
    let plan = plan::resolve(recipe, wishes, facts)?;
    let virtiofsd = match plan.cache.as_ref().map(|cache| cache.share) {
        Some(CacheShare::Virtiofs) => Some(virtiofsd(env, home, spawner, plan.owner.uid, sink).await?),
        Some(CacheShare::NineP) | None => None,
    };
    for text in &plan.notes {
        sink.emit(Event::Note { text: text.clone() });
    }
    Ok(Prepared { plan, store: Store::open(home, env)?, qemu, kernel, virtiofsd, accelerator: verdict })
}

async fn virtiofsd(
    env: &Env,
    home: &Home,
    spawner: &Spawner,
    uid: u32,
    sink: &mut dyn Sink,
) -> Result<Virtiofsd> {
    let found = virtiofsd::find(env, home, spawner, uid).await?;
    // Places where there is simply nothing are of no interest once one was found.
    for text in found.passed_over.into_iter().filter(|line| !line.ends_with("is not there")) {
        sink.emit(Event::Note { text: format!("virtiofsd: passed over {text}") });
    }
    Ok(found.virtiofsd)
}

/// What the world of this plan needs of the kernel, in the order in which the agent uses it.
pub(super) fn features(wishes: &Wishes) -> Vec<Feature> {
    let mut features =
        vec![Feature::Channel, Feature::Rng, Feature::Block, Feature::Erofs, Feature::Ext4, Feature::Overlay];
    if wishes.network == plan::Network::On {
        features.push(Feature::Net);
    }
    let cache_by_9p = wishes.cache_dir.is_some() && wishes.virtiofs == VirtiofsWish::Off;
    if wishes.source.is_some() || cache_by_9p {
        features.push(Feature::NineP);
    }
    if wishes.cache_dir.is_some() && wishes.virtiofs == VirtiofsWish::Spawned {
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
pub(super) fn initramfs(home: &Home, kernel: &Kernel) -> Result<std::path::PathBuf> {
    initramfs::ensure(&home.dir("initramfs")?, guest::AGENT, &kernel.modules, ALL_FEATURES)
}

fn image(recipe: &Recipe, wishes: &Wishes, sink: &mut dyn Sink) -> Result<ImageRecipe> {
    let reference = ImageReference::parse(wishes.image.as_deref().unwrap_or(DEFAULT_IMAGE))?;
    let (source, mut packages) = locate(reference)?;
    let contents = &recipe.environment.contents;
    let asked: Vec<String> = contents
        .packages
        .iter()
        .map(|name| name.to_string())
        .chain(recipe.appended_packages.iter().cloned())
        .collect();
    let repositories: Vec<String> = contents
        .repositories
        .iter()
        .chain(&contents.build_repositories)
        .map(|line| line.to_string())
        .collect();
    if let plan::ImageSource::Debian { .. } = source {
        packages.extend(map_packages(&asked)?);
    }
    let image = ImageRecipe::new(source, packages, repositories, debian_arch(recipe.arch)?)?;
    if let Some(text) = image.left_out(&asked) {
        sink.emit(Event::Note { text });
    }
    Ok(image)
}

fn debian_arch(arch: crate::compile::Arch) -> Result<&'static str, Failure> {
    match arch {
        crate::compile::Arch::X86_64 => Ok("amd64"),
        other => {
            Err(Failure::host(format!("no root is made for {} yet", other.apk()), "build on an x86_64 host"))
        }
    }
}

/// The shell that knows `pipefail` and `[[`: `/bin/sh` where it is one of bash or busybox, else `/bin/bash`. Debian's is dash.
fn shell(image: &ImageRecipe) -> String {
    const BASH: &str = "/bin/bash";
    let of_tree = |root: &Path| match std::fs::read_link(root.join("bin/sh")) {
        Ok(target) if target.ends_with("dash") => BASH,
        Ok(_) | Err(_) => "/bin/sh",
    };
    match &image.source {
        plan::ImageSource::Debian { .. } => BASH.to_owned(),
        plan::ImageSource::Directory(root) => of_tree(root).to_owned(),
        plan::ImageSource::Tar(_) => BASH.to_owned(),
    }
}

/// The log file of the console, opened for appending.
pub(super) fn console_log(path: &Path) -> Result<File> {
    File::options().append(true).open(path).with_context(|| format!("open {}", path.display()))
}
