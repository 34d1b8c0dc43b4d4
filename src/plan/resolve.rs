//! The one way from recipe and options to a plan.

use std::{collections::BTreeMap, time::Duration};

use kiln_protocol::{Stdin, Step, TextFile, User};

use super::{
    Accelerator, ArtifactPlan, BuildOptions, CacheMount, HostSettings, Ids, ImageRecipe, Machine, PackageId,
    Plan, PlannedStep, Platform, RootForm, Sandbox,
    accounts::{self, Accounts},
    capability, cargo, cgroup, container, resources, sandbox, steps, world,
};
use crate::{
    compile::{PackageSteps, Recipe, Run},
    exit::Failure,
    host::{Host, cgroup::Cgroups},
};

/// How long a guest may take to be ready: a hundred times what it needs.
const BOOT_TIMEOUT: Duration = Duration::from_secs(30);
/// TCG on a busy machine is that much slower.
pub const TCG_SLOWNESS: u32 = 6;

/// What is known of this host, as values.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The host itself.
    pub host: Host,
    /// What only one backend needs to know.
    pub platform: PlatformFacts,
    /// The image that was asked for.
    pub image: ImageRecipe,
    /// The shell of that image that knows `pipefail` and `[[`.
    pub shell: String,
}

/// What is known for one backend; which of them it is follows from the options.
#[derive(Debug, Clone)]
pub enum PlatformFacts {
    /// For a microVM.
    Qemu {
        /// What executes the guest.
        accelerator: Accelerator,
        /// The kernel modules that the world needs, in loading order.
        modules: Vec<String>,
    },
    /// For a container: nothing.
    Docker,
    /// For a sandbox.
    Bubblewrap {
        /// The host's `/etc/resolv.conf`: its network is the sandbox's.
        resolver: String,
        /// As whom it is made.
        ids: Ids,
        /// What the image's root comes as.
        root: RootForm,
        /// Where its limits can be set.
        cgroups: Cgroups,
    },
}

/// Decides everything.
///
/// # Errors
/// A [`Failure`] for a wish that cannot be granted: a bad size, a mode that the share cannot do.
pub fn resolve(recipe: &Recipe, options: &BuildOptions, facts: Facts) -> Result<Plan, Failure> {
    let mut notes = Vec::new();
    let accounts = Accounts::of(recipe);
    let mut owner = accounts.owner(&user(recipe), &facts.host, &mut notes);
    let ids = match facts.platform {
        PlatformFacts::Bubblewrap { ids, .. } => Some(ids),
        PlatformFacts::Qemu { .. } | PlatformFacts::Docker => None,
    };
    let sole = ids == Some(Ids::SingleUid);
    if sole && owner.ids() != (0, 0) {
        notes.push(sandbox::ONE_USER.into());
        (owner.inside, owner.inside_gid) = (0, 0);
    }
    if ids == Some(Ids::Range) {
        accounts::check_range(recipe, &accounts, owner)?;
    }
    notes.extend(resources::without_effect(recipe, options));
    let cache = CacheMount::decide(options);
    let package = package_id(recipe);
    let host_settings = options.host_settings.reachable(options.runner, &mut notes);
    let steps = planned_steps(recipe, options, &host_settings, &facts.shell)?;
    notes.extend(cache.as_ref().and_then(|_| cargo::note(&steps)));
    let resources = resources::resources(recipe, options, &facts.host, &mut notes)?;
    let build_ids = accounts.build_ids();
    let parts = world::Parts {
        source: options.source.as_deref(),
        hidden: world::hidden(&options.hidden),
        cache: cache.as_ref(),
        owner,
        network: options.network,
        changes: accounts::changes(recipe, &accounts, ids),
        accounts,
        package: &package.name,
        capabilities: capability::of_steps(recipe, options)?,
        names: host_settings.names(),
    };
    let (platform, mut world) = match facts.platform {
        PlatformFacts::Qemu { accelerator, modules } => {
            let (disk, disk_from) = resources::disk(recipe, options, &mut notes)?;
            let machine = Machine {
                accelerator,
                tsc_khz: facts.host.tsc_khz,
                cpu_model: resources::cpu_model(recipe, options)?,
                disk_bytes: disk.0,
                disk_from,
                slirp: options.slirp.clone(),
                host_loopback: options.host_loopback,
                kernel_arguments: options.kernel_arguments.clone(),
            };
            let world = world::microvm(modules, &machine, parts);
            (Platform::Qemu(machine), world)
        }
        PlatformFacts::Docker => {
            notes.extend(container::note(parts.cache, owner));
            notes.extend(container::loopback_note(options.host_loopback));
            notes.extend(capability::note_of_container(&parts.capabilities));
            (Platform::Docker(container::binds(&parts)), container::world(parts))
        }
        PlatformFacts::Bubblewrap { resolver, ids, root, cgroups } => {
            notes.extend(sandbox::notes(options.network, &cgroups));
            let groups = cgroup::groups(&cgroups, resources);
            let binds = sandbox::binds(&parts, root);
            let world = sandbox::namespaces(parts, resolver, ids, root)?;
            (Platform::Bubblewrap(Sandbox { binds, ids, root, groups }), world)
        }
    };
    world.files.extend(tool_files(recipe));
    world.files.extend(host_settings.files());
    Ok(Plan {
        artifacts: artifacts(recipe, &package),
        arch: recipe.arch.apk().to_owned(),
        image: facts.image,
        source: options.source.clone(),
        steps: if sole { as_root(steps) } else { steps },
        build_date: options.source_date_epoch,
        build_ids,
        out_dir: options.out_dir.join(recipe.arch.apk()),
        boot_timeout: options.boot_timeout.unwrap_or(boot_timeout(&platform)),
        timeout: recipe.package.timeout.or(options.timeout),
        network: options.network,
        host_settings,
        package,
        platform,
        resources,
        cache,
        owner,
        world,
        notes,
    })
}

fn package_id(recipe: &Recipe) -> PackageId {
    let package = &recipe.package;
    PackageId { name: package.name.to_string(), version: package.version.to_string(), epoch: package.epoch }
}

/// Where there is one user, it is root.
fn as_root(steps: Vec<PlannedStep>) -> Vec<PlannedStep> {
    let as_root =
        |planned: PlannedStep| PlannedStep { step: Step { user: User::Root, ..planned.step }, ..planned };
    steps.into_iter().map(as_root).collect()
}

fn boot_timeout(platform: &Platform) -> Duration {
    match platform {
        Platform::Qemu(Machine { accelerator: Accelerator::Tcg, .. }) => BOOT_TIMEOUT * TCG_SLOWNESS,
        Platform::Qemu(_) | Platform::Docker(_) | Platform::Bubblewrap(_) => BOOT_TIMEOUT,
    }
}

pub(super) fn user(recipe: &Recipe) -> User {
    match &*recipe.environment.accounts.run_as {
        "" | "root" | "0" => User::Root,
        name => name.parse().map_or_else(|_| User::Name(name.to_owned()), User::Uid),
    }
}

/// What tools read of the cache instead of a variable.
fn tool_files(recipe: &Recipe) -> impl Iterator<Item = TextFile> {
    let files = recipe.cache_also.iter().flat_map(|ecosystem| ecosystem.files);
    files.map(|&(path, text)| world::file(path, text.into()))
}

fn planned_steps(
    recipe: &Recipe,
    options: &BuildOptions,
    host_settings: &HostSettings,
    shell: &str,
) -> Result<Vec<PlannedStep>, Failure> {
    let mut planned = Vec::new();
    for PackageSteps { package, runs, unmet: _ } in recipe.package_steps() {
        let mut makes = (*package != *recipe.package.name).then_some(package.as_str());
        for run in runs {
            let Run { name, script, working_directory, environment: own, uses: _, origin, used_at } = run;
            let index = u32::try_from(planned.len()).unwrap_or(u32::MAX);
            let frame = steps::frame(&working_directory, makes.take(), options.trace);
            let step = Step {
                index,
                argv: vec![shell.to_owned(), "-c".into(), frame],
                files: vec![steps::fragment_file(&name, &script)?],
                env: environment(recipe, options, host_settings, own),
                cwd: super::WORKSPACE.into(),
                user: user(recipe),
                stdin: Stdin::Null,
                timeout_ms: options
                    .step_timeout
                    .map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
            };
            let (package, directory) = (package.clone(), working_directory);
            planned.push(PlannedStep { name, package, origin, used_at, fragment: script, directory, step });
        }
    }
    Ok(planned)
}

/// Those of the host's host_settings, the recipe's, kiln's own two, and the step's, each winning over those before it; sorted
/// by name.
pub(super) fn environment(
    recipe: &Recipe,
    options: &BuildOptions,
    host_settings: &HostSettings,
    own: BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let mut variables: BTreeMap<String, String> = host_settings.variables().into_iter().collect();
    let of_recipe = &recipe.environment.variables;
    variables.extend(of_recipe.iter().map(|(name, value)| (name.to_string(), value.to_string())));
    variables.insert("SOURCE_DATE_EPOCH".into(), options.source_date_epoch.to_string());
    variables.insert("PATH".into(), steps::path(&recipe.cache_also));
    variables.extend(own);
    variables.into_iter().collect()
}

fn artifacts(recipe: &Recipe, package: &PackageId) -> Vec<ArtifactPlan> {
    let PackageId { name: _, version, epoch } = package;
    let names = recipe.package_steps().into_iter().map(|steps| steps.package);
    names
        .map(|name| ArtifactPlan { file_stem: format!("{name}-{version}-r{epoch}"), package: name })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::*;
    use crate::{compile, manifest, pipelines::Library};

    /// The recipe of a build file with these sections besides the package and one step.
    pub(in crate::plan) fn recipe(sections: &str) -> Recipe {
        let text = format!(
            "package: {{name: p, version: '1', epoch: 0}}\npipeline: [{{runs: 'true'}}]\n{sections}\n"
        );
        let manifest = manifest::parse(&text, Path::new("p.yaml")).expect("it is valid");
        let options = compile::Options::new(compile::Arch::X86_64);
        compile::compile(&manifest, &options, &Library::new([])).expect("it compiles")
    }
}
