//! `kiln plan`: the plan of a build on this host, with every command line. It starts no guest and makes no image.

mod command_lines;
mod document;
mod mounts;
mod packages;
mod text;

use std::time::Duration;

use anyhow::Result;

use super::{build, options, recipe};
use crate::{
    build::Request,
    cli::{GraphForm, PlanArgs},
    env::Env,
    event::Event,
    exit::{Code, Failure},
    home::Home,
    plan::BuildOptions,
    process::Spawner,
    report, secret,
};

/// Prints the plan.
pub(super) async fn run(args: &PlanArgs, env: &Env) -> Result<Code> {
    let mut notes = Vec::new();
    let mut sink = |event: Event| {
        if let Event::Note { text } | Event::Warning { text, .. } = event {
            notes.push(text);
        }
    };
    if let Some(form) = args.graph {
        let named = || recipe::file(None).map(|file| vec![file]);
        let files = if args.files.is_empty() { named()? } else { args.files.clone() };
        let graph = build::graph(&files, &args.recipe, &mut sink)?;
        return report::print(&match form {
            GraphForm::Json => format!("{:#}\n", graph.json()),
            GraphForm::Dot => graph.dot(),
        });
    }
    let file = match args.files.as_slice() {
        [] => recipe::file(None)?,
        [file] => recipe::file(Some(file))?,
        [_, ..] => {
            return Err(Failure::usage(
                "a plan is of one build file",
                "name one, or print the order of several with --graph",
            )
            .into());
        }
    };
    if args.explain {
        // It needs nothing of the host, which may lack the programs for a plan.
        return recipe::explain(&file, &args.recipe)?.map_or(Ok(Code::Success), |text| report::print(&text));
    }
    let Some(recipe) = recipe::load(&file, &args.recipe, &mut sink)? else { return Ok(Code::Success) };
    let options = options::options(&args.machine, env, &file)?;
    let (packaging, key) = options::packaging(&args.package, &recipe::commit(&file, &args.recipe), env)?;
    if let Some(text) = options::exposed_key(key.as_ref(), &packaging) {
        sink(Event::Note { text });
    }
    let options = BuildOptions { packaging, ..options };
    let home = Home::find(env)?;
    let spawner = Spawner::start()?.withhold(secret::variables(&args.machine.secret));
    let request = Request { recipe, options, cache_wait: Duration::ZERO };
    let resolved = request.resolve(env, &home, &spawner, &mut sink).await?;
    let plan = &resolved.plan;
    let command_lines = command_lines::command_lines(&home, &resolved)?;
    let downloads = resolved.store.downloads(&plan.image)?;
    let hide = |value: &str| super::host_settings::without_passwords(&plan.host_settings, value);
    let printed = if args.json {
        let mut document = document::document(plan, &notes, &command_lines, &hide);
        document["downloads"] = serde_json::json!(downloads);
        format!("{document:#}\n")
    } else {
        let mut text = text::describe(plan, downloads.as_ref(), &*resolved.backend, &notes, &hide)?;
        command_lines.iter().for_each(|line| text += &format!("\n{}", command_lines::text(line)));
        text
    };
    spawner.finish()?;
    report::print(&printed)
}
