//! `kiln plan`: what a build would do here, down to every command line. No guest is started, no image made.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::Write,
    path::{Path, PathBuf},
};

use anyhow::Result;
use kiln_protocol::Limit;

use super::{
    again, launch,
    prepare::{self, Backend, Prepared, Question, qemu::Parts},
    recipe, wishes,
};
use crate::{
    cli::PlanArgs,
    env::Env,
    event::Event,
    exit::Code,
    home::Home,
    host,
    plan::{CachePlan, CacheSharing, Cgroup, Machine, Plan, PlannedStep, Platform, Resources, Sandbox},
    process::Spawner,
    report,
    runner::{
        bubblewrap, docker,
        qemu::{self, Files},
    },
    share,
};

/// Stands for the image where it is not made yet.
const NOT_MADE: &str = "(made at the first build)";
/// Stands for the scratch directory, whose name each run chooses.
const SCRATCH: &str = "(a scratch directory of this run)";

/// Prints the plan.
pub(super) async fn run(args: &PlanArgs, env: &Env) -> Result<Code> {
    let mut notes = Vec::new();
    let mut sink = |event: Event| {
        if let Event::Note { text } = event {
            notes.push(text);
        }
    };
    let file = recipe::file(args.file.as_deref())?;
    if args.explain {
        // Printed at once: it needs nothing of the host, which may not be able to do the rest.
        recipe::explain(&file, &args.recipe)?.map_or(Ok(Code::Success), |text| report::print(&text))?;
    }
    let Some(recipe) = recipe::load(&file, &args.recipe, &mut sink)? else { return Ok(Code::Success) };
    let wishes = wishes::wishes(&args.machine, env, &file)?;
    let home = Home::find(env)?;
    let spawner = Spawner::start()?;
    let question = Question {
        recipe: &recipe,
        wishes: &wishes,
        accelerator: wishes::accelerator(args.machine.accel),
        env,
        home: &home,
        spawner: &spawner,
    };
    let prepared = prepare::prepare(question, &mut sink).await?;
    let mut text = describe(&prepared, &notes)?;
    text += &commands(&home, &prepared)?;
    spawner.finish()?;
    report::print(&text)
}

fn describe(prepared: &Prepared, notes: &[String]) -> Result<String> {
    let Prepared { plan, store: _, backend } = prepared;
    let mut text = String::new();
    writeln!(text, "package      {} for {}", plan.package, plan.arch)?;
    writeln!(text, "runner       {}", plan.runner().name())?;
    let Resources { cpus, memory_mib } = plan.resources;
    writeln!(text, "resources    {cpus} cpus, {memory_mib} MiB of memory, network {:?}", plan.network)?;
    writeln!(text, "limits       {}", limits(plan))?;
    match backend {
        Backend::Qemu(parts) => text += &describe_machine(plan, parts)?,
        Backend::Bubblewrap(found) => writeln!(text, "sandbox      as {:?}", found.ids)?,
        Backend::Docker(found) => writeln!(text, "docker       {} {}", found.path.display(), found.version)?,
    }
    writeln!(text, "image        {}", plan.image)?;
    writeln!(
        text,
        "source       {}",
        plan.source.as_deref().map_or("(empty)".into(), |path| path.display().to_string())
    )?;
    writeln!(text, "cache        {}", cache(plan.cache.as_ref()))?;
    text += &super::supplies::describe(&plan.supplies, plan.runner());
    writeln!(text, "run as       uid {} inside, uid {} outside", plan.owner.inside, plan.owner.uid)?;
    writeln!(text, "output       {}", plan.out_dir.display())?;
    for note in notes {
        writeln!(text, "note         {note}")?;
    }
    if let Platform::Bubblewrap(Sandbox { groups, .. }) = &plan.platform {
        for Cgroup { parent, files } in groups {
            let files: Vec<String> = files.iter().map(|(name, value)| format!("{name}={value}")).collect();
            writeln!(text, "cgroup       below {}: {}", parent.display(), files.join(", "))?;
        }
    }
    if let Platform::Docker(binds) | Platform::Bubblewrap(Sandbox { binds, .. }) = &plan.platform {
        writeln!(text, "\nbinds:")?;
        for bind in binds {
            writeln!(text, "  {bind:?}")?;
        }
    }
    writeln!(text, "\nmounts, in this order:")?;
    for mount in &plan.world.mounts {
        writeln!(text, "  {mount:?}")?;
    }
    for step in &plan.steps {
        text += &describe_step(step, &|value| super::supplies::without_passwords(&plan.supplies, value));
    }
    Ok(text)
}

/// Soft and hard limit of what is limited.
fn limits(plan: &Plan) -> String {
    let limited = plan.world.limits.iter().filter(|limit| limit.soft.is_some());
    let number = |limit: Option<u64>| limit.map_or("unlimited".into(), |limit| limit.to_string());
    let words = limited.map(|Limit { resource, soft, hard }| {
        format!("{} {}:{}", format!("{resource:?}").to_lowercase(), number(*soft), number(*hard))
    });
    words.collect::<Vec<_>>().join(", ")
}

/// What only a microVM has.
fn describe_machine(plan: &Plan, parts: &Parts) -> Result<String> {
    let Parts { kernel, accelerator, .. } = parts;
    let mut text = String::new();
    let why = accelerator.why.as_deref().map_or(String::new(), |why| format!(" ({why})"));
    writeln!(text, "accelerator  {}{why}", accelerator.accelerator)?;
    if let Platform::Qemu(machine) = &plan.platform {
        writeln!(text, "disk         {} GiB, sparse", machine.disk_bytes >> 30)?;
    }
    writeln!(text, "kernel       {} {}", kernel.version, kernel.vmlinux.display())?;
    Ok(text)
}

fn cache(plan: Option<&CachePlan>) -> String {
    plan.map_or("(none)".into(), |cache| {
        format!(
            "{} by {:?}, {}, {}",
            cache.directory.display(),
            cache.share,
            cache.mode.name(),
            cache.sharing.name()
        )
    })
}

fn describe_step(planned: &PlannedStep, hide: &dyn Fn(&str) -> String) -> String {
    let PlannedStep { name, package, step, fragment: _, directory: _ } = planned;
    let mut text =
        format!("\nstep {} of {package}: {name}\n  as {:?} with {}\n", step.index, step.user, step.argv[0]);
    for (name, value) in &step.env {
        text += &format!("  {name}={}\n", hide(value));
    }
    let script = step.argv.last().map(String::as_str).unwrap_or_default();
    script.lines().fold(text, |text, line| format!("{text}  | {line}\n"))
}

fn commands(home: &Home, prepared: &Prepared) -> Result<String> {
    let Prepared { plan, store, backend } = prepared;
    let root = store.find(&plan.image)?.map_or_else(|| PathBuf::from(NOT_MADE), |image| image.path);
    match (backend, &plan.platform) {
        (Backend::Qemu(parts), Platform::Qemu(machine)) => microvm(home, plan, machine, parts, &root),
        (Backend::Docker(found), Platform::Docker(_)) => container(home, plan, found),
        (Backend::Bubblewrap(found), Platform::Bubblewrap(_)) => sandbox(home, plan, found, &root),
        // Prepared for one runner, planned for another: prepare() does not make that.
        (Backend::Qemu(_) | Backend::Docker(_) | Backend::Bubblewrap(_), _) => Ok(String::new()),
    }
}

fn sandbox(home: &Home, plan: &Plan, found: &host::bubblewrap::Bubblewrap, root: &Path) -> Result<String> {
    let agent = launch::agent(home)?;
    let (bwrap, scratch) = (found.path.as_path(), Path::new(SCRATCH));
    Ok(format!(
        "\n{}",
        lines(&bubblewrap::argv(plan, bubblewrap::Files { bwrap, agent: &agent, root, scratch }))
    ))
}

/// The image's id and the run's directory are known at its start only.
fn container(home: &Home, plan: &Plan, found: &host::docker::Docker) -> Result<String> {
    let (agent, run_dir) = (launch::agent(home)?, home.root().join("run/RUN"));
    let (docker, root, image) = (found.path.as_path(), found.root.as_path(), "IMAGE");
    let (agent, run_dir, opened) = (agent.as_path(), run_dir.as_path(), &BTreeMap::new());
    let files = docker::Files { docker, root, image, agent, run_dir, opened };
    Ok(format!("\n{}", lines(&docker::argv(plan, files))))
}

fn microvm(home: &Home, plan: &Plan, machine: &Machine, parts: &Parts, root: &Path) -> Result<String> {
    let Parts { qemu, kernel, virtiofsd, accelerator: _ } = parts;
    let initramfs = prepare::qemu::initramfs(home, kernel)?;
    let files = Files { qemu: &qemu.path, vmlinux: &kernel.vmlinux, initramfs: &initramfs, root };
    let mut text = format!("\n{}", lines(&qemu::argv(plan, machine, files)));
    if let (Some(daemon), Some((directory, owner))) = (virtiofsd, served(plan)) {
        let arguments = share::arguments::arguments(daemon, &directory, owner, share::spawned::sandbox()?)?;
        let line: Vec<OsString> = std::iter::once(daemon.path.clone().into()).chain(arguments).collect();
        text += &format!("\n{}", lines(&line));
    }
    Ok(text)
}

/// What the cache's daemon serves, and for whom.
pub(super) fn served(plan: &Plan) -> Option<(share::Directory, share::Owner)> {
    let cache = plan.cache.as_ref()?;
    let access = match cache.mode.writes() {
        crate::plan::CacheWrites::Through => share::Access::ReadWrite,
        crate::plan::CacheWrites::Overlay | crate::plan::CacheWrites::Refused => share::Access::ReadOnly,
    };
    let caching = match cache.sharing {
        CacheSharing::Shared => share::Caching::Shared,
        // The lease excludes all others.
        CacheSharing::Locked | CacheSharing::Private => share::Caching::Alone,
    };
    let path = cache.directory.clone();
    let directory = share::Directory { path, access, caching, inside: plan.owner.inside };
    Some((directory, share::Owner { uid: plan.owner.uid, gid: plan.owner.gid }))
}

/// A switch and its value on each line.
fn lines(argv: &[OsString]) -> String {
    let mut text = String::new();
    for (at, word) in argv.iter().enumerate() {
        let word = Path::new(word).display().to_string();
        let separator = match (at, word.starts_with('-')) {
            (0, _) => "",
            (_, true) => " \\\n  ",
            (_, false) => " ",
        };
        text += &format!("{separator}{}", again::quoted(&word));
    }
    text + "\n"
}
