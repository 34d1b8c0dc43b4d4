//! Everything between a request and a launch: the host is probed once, and the plan is made.
//!
//! Only the requested backend is probed: a build in a sandbox does not look for QEMU.

use std::{fs, path::Path};

use anyhow::Result;
use kiln_protocol::{Stdin, Step};

use super::{Context, Leased, Request, apk_root, injected, lock, offline};
use crate::{
    backend::{self, Backend, Tools},
    cache::Lease,
    compile::Recipe,
    engine::Injected,
    env::Env,
    event::{Event, Sink},
    exit::Failure,
    home::Home,
    host::Host,
    image::{Store, locate},
    plan::{
        self, BuildOptions, Facts, ImageRecipe, ImageReference, InteractiveCommand, Mapped, Network, Plan,
        map_packages,
    },
    process::Spawner,
};

/// The image if the command line names none.
const DEFAULT_IMAGE: &str = "debian:bookworm";

/// A plan, and its backend and store on this host.
pub(crate) struct Resolved {
    pub(crate) plan: Plan,
    pub(crate) store: Store,
    pub(crate) backend: Box<dyn Backend>,
}

/// The input of a launch.
pub(crate) struct Prepared {
    pub(super) resolved: Resolved,
    pub(super) request: Request,
    pub(super) injected: Injected,
    pub(super) lease: Option<Lease>,
    /// Whether the build ends with a report on the cache, for which its content is counted before.
    pub(super) reports_cache: bool,
}

impl Prepared {
    /// The plan.
    pub(crate) fn plan(&self) -> &Plan {
        &self.resolved.plan
    }

    /// The same guest for a test, which makes no packages.
    pub(crate) fn without_packages(mut self) -> Self {
        self.resolved.plan.artifacts.clear();
        self
    }

    /// The same guest for one command instead of the build file's steps.
    pub(crate) fn for_command(mut self, command: &InteractiveCommand, stdin: Stdin) -> (Self, Step) {
        let Request { recipe, options, .. } = &self.request;
        let plan = self.resolved.plan.without_steps();
        let step = plan::command(recipe, options, &plan, &shell(&plan.image), command, stdin);
        self.resolved.plan = plan;
        self.reports_cache = false;
        (self, step)
    }
}

impl Request {
    /// Makes only the plan, without a lease, an image or a guest.
    ///
    /// # Errors
    /// For a build file or options that are invalid or not possible on this host.
    pub(crate) async fn resolve(
        self,
        env: &Env,
        home: &Home,
        spawner: &Spawner,
        sink: &mut dyn Sink,
    ) -> Result<Resolved> {
        resolve(&self, env, home, spawner, sink).await
    }
}

impl Leased {
    /// Makes the plan on this host.
    ///
    /// # Errors
    /// For a build file or options that are invalid or not possible on this host.
    pub(crate) async fn prepare(self, context: &Context<'_>, sink: &mut dyn Sink) -> Result<Prepared> {
        let Self { request, injected, lease } = self;
        let Context { env, home, spawner, .. } = *context;
        offline::check(&request.recipe, &request.options)?;
        let mut interrupts = context.interrupts.clone();
        let resolved = tokio::select! {
            resolved = resolve(&request, env, home, spawner, sink) => resolved?,
            // The indexes of repositories may be on their way.
            error = interrupts.refuse() => return Err(error),
        };
        Ok(Prepared { resolved, request, injected, lease, reports_cache: true })
    }
}

/// Probes the host and makes the plan. It starts programs only for their version, and the probe of KVM for a microVM with
/// `--accel auto` or `kvm` without a stored verdict.
async fn resolve(
    request: &Request,
    env: &Env,
    home: &Home,
    spawner: &Spawner,
    sink: &mut dyn Sink,
) -> Result<Resolved> {
    let Request { recipe, options, .. } = request;
    let tools = Tools { env, home, spawner };
    let host = Host::probe();
    let cache = options.repositories.cache.as_deref();
    let store = Store::open(home, env)?.with_repositories(cache, options.network == Network::Off);
    let image = image(recipe, options, &store, sink).await?;
    let shell = shell(&image);
    let mut backend = backend::find(options, tools, &host, sink).await?;
    let facts = Facts { host, rules: backend.rules(options), image, shell };
    let mut plan = plan::resolve(recipe, options, facts)?;
    backend.complete(tools, &mut plan, sink).await?;
    let hidden = injected::hidden(&plan.host_settings, plan.source.as_deref());
    for text in plan.notes.iter().cloned().chain(hidden) {
        sink.emit(Event::Note { text });
    }
    Ok(Resolved { plan, store, backend })
}

async fn image(
    recipe: &Recipe,
    options: &BuildOptions,
    store: &Store,
    sink: &mut dyn Sink,
) -> Result<ImageRecipe> {
    if let Some(request) = apk_root::request(recipe, options, sink)? {
        // The machine of the guest has one architecture.
        debian_arch(recipe.arch)?;
        let arch = request.arch.clone();
        let root = match &options.repositories.locked {
            Some(path) => lock::read(path, &request)?,
            None => store.choose(request.clone(), sink).await?,
        };
        if let Some(path) = &options.repositories.lock {
            lock::write(path, &request, &root)?;
        }
        return Ok(ImageRecipe::new(plan::ImageSource::Apk(root), &arch)?);
    }
    apk_root::check_unused(&options.repositories)?;
    let reference = options.image.clone().map_or_else(|| ImageReference::parse(DEFAULT_IMAGE), Ok)?;
    let mut source = locate(reference)?;
    let contents = &recipe.environment.contents;
    let requested: Vec<String> = contents
        .packages
        .iter()
        .map(|name| name.to_string())
        .chain(recipe.appended_packages.iter().cloned())
        .collect();
    if let plan::ImageSource::Debian(root) = &mut source {
        let Mapped { packages, notes } =
            map_packages(&recipe.requests, &recipe.appended_packages, &root.suite)?;
        root.packages.extend(packages);
        notes.into_iter().for_each(|text| sink.emit(Event::Note { text }));
        let lines = contents.repositories.iter().chain(&contents.build_repositories);
        let lines = lines.filter(|line| plan::is_debian_line(line.as_str()));
        root.repositories = plan::allowed_repositories(lines, options.insecure_repositories)?;
    }
    let image = ImageRecipe::new(source, debian_arch(recipe.arch)?)?;
    if let Some(text) = image.left_out(&requested) {
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

/// The shell that supports `pipefail` and `[[`: `/bin/sh` if it is bash or busybox, else `/bin/bash`. Debian's `/bin/sh` is dash.
fn shell(image: &ImageRecipe) -> String {
    const BASH: &str = "/bin/bash";
    let of_tree = |root: &Path| match fs::read_link(root.join("bin/sh")) {
        Ok(target) if target.ends_with("dash") => BASH,
        Ok(_) | Err(_) => "/bin/sh",
    };
    match &image.source {
        plan::ImageSource::Debian(_) => BASH.to_owned(),
        // busybox, or a shell that the packages' maker has chosen.
        plan::ImageSource::Apk(_) => "/bin/sh".to_owned(),
        plan::ImageSource::Directory(root) => of_tree(root).to_owned(),
        plan::ImageSource::Tar(_) => BASH.to_owned(),
    }
}
