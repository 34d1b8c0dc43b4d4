//! Everything between a request and a launch: what the host has is looked up once, and the plan is made of it.
//!
//! Only the runner that was asked for is looked for: a sandbox never asks QEMU for its version.

pub(super) mod qemu;

use std::{fs, path::Path};

use anyhow::Result;
use kiln_protocol::{Stdin, Step};

use super::{Request, injected};
use crate::{
    backend::{
        bubblewrap::probe::{self as bubblewrap, Bubblewrap},
        docker::probe::{self as docker, Docker},
    },
    cache::Lease,
    compile::Recipe,
    engine::Injected,
    env::Env,
    event::{Event, Sink},
    exit::Failure,
    home::Home,
    host::{Host, cgroup::Cgroups},
    image::{Store, locate},
    plan::{
        self, BuildOptions, Facts, ImageRecipe, ImageReference, Mapped, Plan, PlatformFacts, RootForm,
        RunnerKind, Wanted, map_packages,
    },
    process::Spawner,
    rundir,
};

/// The root of a guest where neither the command line nor the build file says more.
const DEFAULT_IMAGE: &str = "debian:bookworm";

/// A plan, and what was found on this host for it.
pub(crate) struct Resolved {
    pub(crate) plan: Plan,
    pub(crate) store: Store,
    pub(crate) backend: Backend,
}

/// All that a launch needs.
pub(crate) struct Prepared {
    pub(super) resolved: Resolved,
    pub(super) request: Request,
    pub(super) injected: Injected,
    pub(super) lease: Option<Lease>,
}

impl Prepared {
    /// The plan.
    pub(crate) fn plan(&self) -> &Plan {
        &self.resolved.plan
    }

    /// The same guest for one command in the place of the build file's steps.
    pub(crate) fn for_command(mut self, wanted: &Wanted, stdin: Stdin) -> (Self, Step) {
        let Request { recipe, options, .. } = &self.request;
        let plan = self.resolved.plan.without_steps();
        let step = plan::command(recipe, options, &plan, &shell(&plan.image), wanted, stdin);
        self.resolved.plan = plan;
        (self, step)
    }
}

/// What was found on this host for the one runner that was asked for.
pub(crate) enum Backend {
    Qemu(Box<qemu::Parts>),
    Docker(Docker),
    Bubblewrap(Bubblewrap),
}

/// Looks at the host and makes the plan. Starts nothing but programs that are asked for their version, and, for a microVM
/// and `auto`, the probe of KVM where no verdict is kept.
pub(super) async fn resolve(
    request: &Request,
    env: &Env,
    home: &Home,
    spawner: &Spawner,
    sink: &mut dyn Sink,
) -> Result<Resolved> {
    let Request { recipe, options, .. } = request;
    let tools = Tools { env, home, spawner };
    let host = Host::probe();
    let image = image(recipe, options, sink)?;
    let shell = shell(&image);
    let (plan, backend) = match options.runner {
        RunnerKind::Qemu => {
            let found = qemu::find(options.accelerator, &tools, &host, sink).await?;
            let facts = Facts { host, platform: found.facts(options), image, shell };
            let plan = plan::resolve(recipe, options, facts)?;
            let parts = found.complete(&tools, &plan, sink).await?;
            (plan, Backend::Qemu(Box::new(parts)))
        }
        RunnerKind::Docker => {
            let found = docker::find_once(env, home, spawner).await?;
            let facts = Facts { host, platform: PlatformFacts::Docker, image, shell };
            (plan::resolve(recipe, options, facts)?, Backend::Docker(found))
        }
        RunnerKind::Bubblewrap => {
            let images = home.dir("images")?;
            let shown = [options.source.as_deref(), options.cache_dir.as_deref(), Some(&images)];
            let shown: Vec<&Path> = shown.into_iter().flatten().collect();
            let found = bubblewrap::find(env, spawner, &host, &shown).await?;
            let root = if found.mounts_images { RootForm::Image } else { RootForm::Tree };
            let resolver = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
            let platform =
                PlatformFacts::Bubblewrap { resolver, ids: found.ids, root, cgroups: Cgroups::find() };
            let facts = Facts { host, platform, image, shell };
            let mut plan = plan::resolve(recipe, options, facts)?;
            plan.notes.extend(found.why_not_own.as_deref().map(not_own));
            check_scratch(&plan, env)?;
            (plan, Backend::Bubblewrap(found))
        }
    };
    let hidden = injected::hidden(&plan.host_settings, plan.source.as_deref());
    for text in plan.notes.iter().cloned().chain(hidden) {
        sink.emit(Event::Note { text });
    }
    Ok(Resolved { plan, store: Store::open(home, env)?, backend })
}

/// How a host is looked at.
pub(super) struct Tools<'a> {
    pub(super) env: &'a Env,
    pub(super) home: &'a Home,
    pub(super) spawner: &'a Spawner,
}

/// What a sandbox of root lacks without ids of its own.
fn not_own(why: &str) -> String {
    format!(
        "bubblewrap: users inside have the ids of this machine's, root's included, though none of root's rights over it: {why}; \
         source, cache and KILN_HOME on ext4, xfs, btrfs or (Linux 6.3) tmpfs give a sandbox ids that nobody else has"
    )
}

/// A sandbox's overlays are the host's, and Linux makes none whose upper directory lies in a lower one (ELOOP).
fn check_scratch(plan: &Plan, env: &Env) -> Result<(), Failure> {
    let cache = plan.cache.as_ref().filter(|cache| cache.is_overlaid());
    let below = [("source", plan.source.as_ref()), ("cache", cache.map(|cache| &cache.directory))];
    // What is not there is told of when it is used.
    let Ok(scratch) = fs::canonicalize(rundir::scratch_dir(env)) else { return Ok(()) };
    for (name, directory) in below.into_iter().filter_map(|(name, directory)| Some((name, directory?))) {
        if fs::canonicalize(directory).is_ok_and(|directory| scratch.starts_with(directory)) {
            let which = rundir::scratch_variable(env).unwrap_or("the directory for scratch files");
            let what = format!(
                "{which}: {} lies in the {name} directory ({}), which a sandbox's overlay is laid over: Linux allows no \
                 overlay over the directory that it is in",
                scratch.display(),
                directory.display(),
            );
            return Err(Failure::usage(what, "Set QEMU_DISKS_PATH to a directory elsewhere."));
        }
    }
    Ok(())
}

fn image(recipe: &Recipe, options: &BuildOptions, sink: &mut dyn Sink) -> Result<ImageRecipe> {
    let reference = options.image.clone().map_or_else(|| ImageReference::parse(DEFAULT_IMAGE), Ok)?;
    let (source, mut packages) = locate(reference)?;
    let contents = &recipe.environment.contents;
    let asked: Vec<String> = contents
        .packages
        .iter()
        .map(|name| name.to_string())
        .chain(recipe.appended_packages.iter().cloned())
        .collect();
    let mut repositories = Vec::new();
    if let plan::ImageSource::Debian { suite } = &source {
        let Mapped { packages: mapped, notes } =
            map_packages(&recipe.requests, &recipe.appended_packages, suite)?;
        packages.extend(mapped);
        notes.into_iter().for_each(|text| sink.emit(Event::Note { text }));
        let lines = contents.repositories.iter().chain(&contents.build_repositories);
        repositories = plan::allowed_repositories(lines, options.insecure_repositories)?;
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
    let of_tree = |root: &Path| match fs::read_link(root.join("bin/sh")) {
        Ok(target) if target.ends_with("dash") => BASH,
        Ok(_) | Err(_) => "/bin/sh",
    };
    match &image.source {
        plan::ImageSource::Debian { .. } => BASH.to_owned(),
        plan::ImageSource::Directory(root) => of_tree(root).to_owned(),
        plan::ImageSource::Tar(_) => BASH.to_owned(),
    }
}
