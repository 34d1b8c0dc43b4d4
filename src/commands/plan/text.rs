//! A plan for a person. Pure: what of a secret must not be shown is replaced by the caller's `hide`.

use std::{collections::BTreeSet, fmt::Write};

use anyhow::Result;
use kiln_protocol::{Limit, User};

use super::{mounts, packages};
use crate::{
    backend::Backend,
    image::Downloads,
    plan::{CacheMount, Network, Plan, PlannedStep, Resources, beyond_default, short_of_default},
    report::one_line,
};

/// The whole plan but its command lines.
pub(super) fn describe(
    plan: &Plan,
    downloads: Option<&Downloads>,
    backend: &dyn Backend,
    notes: &[String],
    hide: &dyn Fn(&str) -> String,
) -> Result<String> {
    let mut text = head(plan, downloads, backend)?;
    notes.iter().try_for_each(|note| writeln!(text, "note         {}", one_line(note)))?;
    text += &packages::list(plan)?;
    let binds = plan.platform.binds();
    if !binds.is_empty() {
        writeln!(text, "\nof the host, in this order:")?;
        binds.iter().try_for_each(|bind| writeln!(text, "  {}", one_line(&mounts::bind(bind))))?;
    }
    writeln!(text, "\nmounts, in this order:")?;
    plan.guest_config
        .mounts
        .iter()
        .try_for_each(|mount| writeln!(text, "  {}", one_line(&mounts::mount(mount))))?;
    let common = common_environment(&plan.steps);
    if !common.is_empty() {
        writeln!(text, "\nenvironment of every step:")?;
        common.iter().try_for_each(|(name, value)| writeln!(text, "  {}", variable(name, value, hide)))?;
    }
    for step in &plan.steps {
        text += &describe_step(step, &common, hide)?;
    }
    Ok(text)
}

fn head(plan: &Plan, downloads: Option<&Downloads>, backend: &dyn Backend) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "package      {} for {}", one_line(&plan.package.to_string()), plan.arch)?;
    writeln!(text, "runner       {}", plan.runner().name())?;
    let Resources { cpus, memory_mib, memory_from: _ } = plan.resources;
    writeln!(text, "resources    {cpus} cpus, {memory_mib} MiB of memory")?;
    writeln!(text, "network      {}", if plan.network == Network::On { "on" } else { "off" })?;
    writeln!(text, "limits       {}", limits(plan))?;
    writeln!(text, "capabilities {}", capabilities(plan))?;
    for (word, line) in backend.describe(plan) {
        writeln!(text, "{word:<12} {}", one_line(&line))?;
    }
    writeln!(text, "image        {}", plan.image)?;
    if let Some(downloads) = downloads {
        writeln!(text, "packages     {}", packages::amount(downloads))?;
    }
    writeln!(text, "source       {}", source(plan))?;
    writeln!(text, "cache        {}", cache(plan.cache.as_ref()))?;
    text += &crate::commands::host_settings::describe(&plan.host_settings, plan.runner());
    writeln!(text, "run as       uid {} inside, uid {} outside", plan.owner.guest_uid, plan.owner.uid)?;
    writeln!(text, "output       {}", plan.out_dir.display())?;
    Ok(text)
}

/// The capabilities of the steps, as differences from docker's default set.
fn capabilities(plan: &Plan) -> String {
    let set = plan.guest_config.capabilities.as_deref().unwrap_or_default();
    let (more, less) = (beyond_default(set), short_of_default(set));
    let mut text = "docker's default set".to_owned();
    if !more.is_empty() {
        let is_free = plan.runner().traits().own_kernel;
        let how = if is_free { "asked for by the build file" } else { "granted by --allow-capability" };
        text += &format!(", and {} ({how})", more.join(", "));
    }
    if !less.is_empty() {
        text += &format!(", without {}", less.join(", "));
    }
    text
}

/// The soft and the hard limit of each limited resource.
fn limits(plan: &Plan) -> String {
    let limited = plan.guest_config.limits.iter().filter(|limit| limit.soft.is_some());
    let number = |limit: Option<u64>| limit.map_or("unlimited".into(), |limit| limit.to_string());
    let words = limited.map(|Limit { resource, soft, hard }| {
        format!("{} {}:{}", format!("{resource:?}").to_lowercase(), number(*soft), number(*hard))
    });
    words.collect::<Vec<_>>().join(", ")
}

fn source(plan: &Plan) -> String {
    let Some(path) = &plan.source else { return "(empty)".into() };
    let share = plan.platform.machine().and_then(|machine| machine.source_share);
    let share = share.map_or(String::new(), |share| format!(" {}, read-only", share.phrase()));
    format!("{}{share}", path.display())
}

fn cache(plan: Option<&CacheMount>) -> String {
    plan.map_or("(none)".into(), |cache| {
        let share = cache.share.phrase();
        let (mode, sharing) = (cache.mode.name(), cache.sharing.name());
        format!("{} {share}, mode {mode}, {sharing}", cache.directory.display())
    })
}

/// The variables that are the same in all steps; they are printed once.
fn common_environment(steps: &[PlannedStep]) -> BTreeSet<(String, String)> {
    let of = |planned: &PlannedStep| planned.step.env.iter().cloned().collect::<BTreeSet<_>>();
    steps.iter().map(of).reduce(|common, of_step| &common & &of_step).unwrap_or_default()
}

fn describe_step(
    planned: &PlannedStep,
    common: &BTreeSet<(String, String)>,
    hide: &dyn Fn(&str) -> String,
) -> Result<String> {
    let PlannedStep { name, package, origin: _, used_at: _, step, fragment, directory } = planned;
    let user = match &step.user {
        User::Root => "root".into(),
        User::Name(name) => name.clone(),
        User::Uid(uid) => format!("uid {uid}"),
    };
    let mut text = String::new();
    writeln!(text, "\nstep {} of {package}: {}", step.index, one_line(name))?;
    writeln!(text, "  as {user} with {} in {}", step.argv[0], one_line(directory))?;
    for (name, value) in step.env.iter().filter(|variable| !common.contains(variable)) {
        writeln!(text, "  {}", variable(name, value, hide))?;
    }
    fragment.lines().try_for_each(|line| writeln!(text, "  | {}", hide(line)))?;
    Ok(text)
}

/// A variable as one line: a build file may have put line breaks into its name and its value.
fn variable(name: &str, value: &str, hide: &dyn Fn(&str) -> String) -> String {
    format!("{}={}", one_line(name), one_line(&hide(value)))
}
