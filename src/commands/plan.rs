//! `kiln plan`: what a build would do here, down to every command line. No guest is started, no image made.

mod command_lines;
mod document;
mod mounts;
mod text;

use anyhow::Result;

use super::{
    prepare::{self, Question},
    recipe, wishes,
};
use crate::{
    cli::PlanArgs,
    env::Env,
    event::Event,
    exit::Code,
    home::Home,
    plan::{CacheSharing, Plan},
    process::Spawner,
    report, secret, share,
};

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
        // It needs nothing of the host, which may not be able to do the rest.
        return recipe::explain(&file, &args.recipe)?.map_or(Ok(Code::Success), |text| report::print(&text));
    }
    let Some(recipe) = recipe::load(&file, &args.recipe, &mut sink)? else { return Ok(Code::Success) };
    let wishes = wishes::wishes(&args.machine, env, &file)?;
    let home = Home::find(env)?;
    let spawner = Spawner::start()?.withhold(secret::variables(&args.machine.secret));
    let question = Question {
        recipe: &recipe,
        wishes: &wishes,
        accelerator: wishes::accelerator(args.machine.accel),
        env,
        home: &home,
        spawner: &spawner,
    };
    let prepared = prepare::prepare(question, &mut sink).await?;
    let plan = &prepared.plan;
    let command_lines = command_lines::command_lines(&home, &prepared)?;
    let hide = |value: &str| super::supplies::without_passwords(&plan.supplies, value);
    let printed = if args.json {
        format!("{:#}\n", document::document(plan, &notes, &command_lines, &hide))
    } else {
        let mut text = text::describe(plan, &prepared.backend, &notes, &hide)?;
        command_lines.iter().for_each(|line| text += &format!("\n{}", command_lines::text(line)));
        text
    };
    spawner.finish()?;
    report::print(&printed)
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
    let directory = share::Directory { path, access, caching, inside: plan.owner.ids() };
    Some((directory, share::Owner { uid: plan.owner.uid, gid: plan.owner.gid }))
}
