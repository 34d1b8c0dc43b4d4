//! `kiln image warm`: a guest of its own, which makes what is missing, is restored, and ends.

use std::collections::HashSet;

use anyhow::{Context, Result};
use kiln_protocol::ExitStatus;

use crate::{
    backend::qemu::template::{Listed, Templates},
    cli::WarmArgs,
    commands::{
        guest::{Guest, options_of_bare, recipe_of_bare},
        options,
        shell::described,
        waiting::{Volume, Waiting},
    },
    console::Console,
    env::Env,
    exit::{Code, Failure},
    plan::{InteractiveCommand, RunnerKind, StartOption},
    process::Spawner,
    report, secret,
};

/// Starts a guest as builds do, from a template, and says which one it was.
pub(super) async fn run(args: &WarmArgs, templates: &Templates, env: &Env, volume: Volume) -> Result<Code> {
    let WarmArgs { file, recipe: how, machine } = args;
    if machine.runner != RunnerKind::Qemu {
        let way_out = "Leave --runner out: the other backends start at once.";
        return Err(Failure::usage("templates are of guests in a microVM", way_out).into());
    }
    // The guest has the shares of a build, but a cache of its own: the user's is neither made nor waited for.
    let cache = tempfile::tempdir().context("make a directory for a cache")?;
    let mut machine = machine.clone();
    machine.start = StartOption::Warm;
    machine.cache_dir = Some(cache.path().to_str().context("the path of TMPDIR is not UTF-8")?.to_owned());
    let spawner = Spawner::start()?.withhold(secret::variables(&machine.secret));
    let mut waiting = Waiting::new(volume);
    let (recipe, options) = match file {
        Some(file) => (described(file, how, &mut waiting)?, options::options(&machine, env, file)?),
        None => (recipe_of_bare()?, options_of_bare(&machine, env)?),
    };
    let known: HashSet<String> = templates.list()?.into_iter().map(|template| template.key).collect();
    let wanted = InteractiveCommand::Command(vec!["true".into()]);
    let console = Console::unattended();
    let ended =
        Guest { recipe, options, machine: &machine, wanted, console, waiting }.run(env, spawner).await?;
    if ended != ExitStatus::Code(0) {
        let way_out = "Look at the root that --image or the build file names.";
        return Err(Failure::host("the guest was restored, but cannot run the program true", way_out).into());
    }
    // The one that was used last comes first.
    let Some(Listed { key, description, bytes, .. }) = templates.list()?.into_iter().next() else {
        return report::print("the guest was restored, and its template has been removed since\n");
    };
    let state = if known.contains(&key) { "is there" } else { "has been made" };
    report::print(&format!("the template {} {state}: {description}, {} MiB\n", &key[..12], bytes >> 20))
}
