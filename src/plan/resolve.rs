//! The one way from recipe and options to a plan.

use std::{collections::BTreeMap, time::Duration};

use kiln_protocol::{Stdin, Step, TextFile, User};

use super::{
    Accelerator, ArtifactPlan, BuildMetadata, BuildOptions, CacheMount, HostSettings, Ids, ImageRecipe,
    Owner, PackageId, Plan, PlannedStep, Platform, PlatformRules, RulesInput,
    accounts::{self, Accounts},
    capability, cargo,
    guest_config::{self, GuestInput},
    resources, steps,
};
use crate::{
    compile::{PackageSteps, Recipe, Run},
    exit::Failure,
    host::Host,
};

/// How long a guest may take to be ready: a hundred times the usual time.
const BOOT_TIMEOUT: Duration = Duration::from_secs(30);
/// By how much TCG on a busy machine is slower.
pub const TCG_SLOWNESS: u32 = 6;

/// The note on `run-as` without a range of ids.
const ONE_USER: &str =
    "run-as: without a range in /etc/subuid a sandbox has one user: steps run as root inside";

/// The facts of this host.
pub struct Facts {
    /// The host itself.
    pub host: Host,
    /// The backend's part of the plan.
    pub rules: Box<dyn PlatformRules>,
    /// The requested image.
    pub image: ImageRecipe,
    /// The shell of that image that supports `pipefail` and `[[`.
    pub shell: String,
}

/// Makes the plan.
///
/// # Errors
/// A [`Failure`] for an option that is invalid or not possible: a bad size, a mode that the share does not support.
pub fn resolve(recipe: &Recipe, options: &BuildOptions, facts: Facts) -> Result<Plan, Failure> {
    let mut notes = Vec::from_iter(missing_source(options));
    let accounts = Accounts::of(recipe);
    let mut owner = accounts.owner(&user(recipe), &facts.host, &mut notes);
    let ids = facts.rules.ids();
    let has_one_user = ids == Some(Ids::SingleUid);
    if has_one_user {
        belongs_to_root(&mut owner, &mut notes);
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
    let guest = GuestInput {
        source: options.source.as_deref(),
        hidden: guest_config::hidden(&options.hidden),
        cache: cache.as_ref(),
        owner,
        network: options.network,
        changes: accounts::changes(recipe, &accounts, ids),
        identities: accounts.identities,
        groups: accounts.groups,
        package: &package.name,
        capabilities: capability::of_steps(recipe, options)?,
        names: host_settings.loopback_names(),
    };
    let input = RulesInput { recipe, options, resources };
    let (platform, mut guest_config) = facts.rules.plan(input, guest, &mut notes)?;
    guest_config.files.extend(tool_files(recipe));
    guest_config.files.extend(host_settings.files());
    Ok(Plan {
        artifacts: artifacts(recipe, &package),
        metadata: metadata(recipe, options),
        arch: recipe.arch.apk().to_owned(),
        image: facts.image,
        source: options.source.clone(),
        steps: if has_one_user { as_root(steps) } else { steps },
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
        guest_config,
        notes,
    })
}

fn missing_source(options: &BuildOptions) -> Option<String> {
    let directory = options.missing_source.as_ref()?;
    Some(format!("--source-dir: {} does not exist; the workspace is empty", directory.display()))
}

/// The owner in a sandbox with one user.
fn belongs_to_root(owner: &mut Owner, notes: &mut Vec<String>) {
    if owner.ids() != (0, 0) {
        notes.push(ONE_USER.into());
        (owner.guest_uid, owner.guest_gid) = (0, 0);
    }
}

fn package_id(recipe: &Recipe) -> PackageId {
    let package = &recipe.package;
    PackageId { name: package.name.to_string(), version: package.version.to_string(), epoch: package.epoch }
}

/// The steps with root as their user, for a sandbox with one user.
fn as_root(steps: Vec<PlannedStep>) -> Vec<PlannedStep> {
    let as_root =
        |planned: PlannedStep| PlannedStep { step: Step { user: User::Root, ..planned.step }, ..planned };
    steps.into_iter().map(as_root).collect()
}

fn boot_timeout(platform: &Platform) -> Duration {
    let is_slow = platform.machine().is_some_and(|machine| machine.accelerator == Accelerator::Tcg);
    if is_slow { BOOT_TIMEOUT * TCG_SLOWNESS } else { BOOT_TIMEOUT }
}

pub(super) fn user(recipe: &Recipe) -> User {
    match &*recipe.environment.accounts.run_as {
        "" | "root" | "0" => User::Root,
        name => name.parse().map_or_else(|_| User::Name(name.to_owned()), User::Uid),
    }
}

/// Configuration files for tools that read no variable for the directory of their cache.
fn tool_files(recipe: &Recipe) -> impl Iterator<Item = TextFile> {
    let files = recipe.cache_also.iter().flat_map(|ecosystem| ecosystem.files);
    files.map(|&(path, text)| guest_config::file(path, text.into()))
}

fn planned_steps(
    recipe: &Recipe,
    options: &BuildOptions,
    host_settings: &HostSettings,
    shell: &str,
) -> Result<Vec<PlannedStep>, Failure> {
    let mut planned = Vec::new();
    for PackageSteps { package, runs, unmet: _ } in recipe.package_steps() {
        let mut new_package = (*package != *recipe.package.name).then_some(package.as_str());
        for run in runs {
            let Run { name, script, working_directory, environment: variables, uses: _, origin, used_at } =
                run;
            let index = u32::try_from(planned.len()).unwrap_or(u32::MAX);
            let frame = steps::frame(&working_directory, new_package.take(), options.trace);
            let step = Step {
                index,
                argv: vec![shell.to_owned(), "-c".into(), frame],
                files: vec![steps::fragment_file(&name, &script)?],
                env: environment(recipe, options, host_settings, variables),
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

/// The variables of the host settings, of the recipe, of kiln (two), and of the step, sorted by name. Each group wins over those
/// before it.
pub(super) fn environment(
    recipe: &Recipe,
    options: &BuildOptions,
    host_settings: &HostSettings,
    of_step: BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let mut variables: BTreeMap<String, String> = host_settings.variables().into_iter().collect();
    let of_recipe = &recipe.environment.variables;
    variables.extend(of_recipe.iter().map(|(name, value)| (name.to_string(), value.to_string())));
    variables.insert("SOURCE_DATE_EPOCH".into(), options.source_date_epoch.to_string());
    variables.insert("PATH".into(), steps::path(&recipe.cache_also));
    variables.extend(of_step);
    variables.into_iter().collect()
}

fn metadata(recipe: &Recipe, options: &BuildOptions) -> BuildMetadata {
    let file = options.build_file.to_string_lossy();
    BuildMetadata::of(recipe, &file, options.source_date_epoch, &options.packaging)
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
