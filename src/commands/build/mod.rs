//! `kiln build`: from build files to packages.

mod built;
mod events;
mod life;
mod many;
mod workspace;

use std::{env, path::Path};

use anyhow::Result;

pub(super) use events::finished;
pub(super) use life::{Extras, live};
pub(super) use many::graph;

use super::{jobs, options, recipe, rerun_command, unsupported};
use crate::{
    build::Request,
    cli::BuildArgs,
    console::{Console, OutputStream},
    engine,
    env::Env,
    event::{Event, Sink, WarningKind},
    exit::{Code, code_of},
    package,
    plan::BuildOptions,
    process::Spawner,
};

/// Builds, and reports the result; returns the exit code.
pub(super) async fn run(args: &BuildArgs, env: &Env) -> Result<Code> {
    match (&args.job, args.files.as_slice()) {
        (None, [first, ..]) if args.files.len() > 1 || first.is_dir() => many::run(args, env).await,
        (Some(file), _) => {
            let result = one(args, Some(file), env).await?;
            jobs::report_result(&result);
            Ok(result.unwrap_or_else(|error| code_of(&error)))
        }
        (None, files) => {
            let result = one(args, files.first().map(AsRef::as_ref), env).await?;
            Ok(result.unwrap_or_else(|error| code_of(&error)))
        }
    }
}

/// Builds the package of one build file.
async fn one(args: &BuildArgs, file: Option<&Path>, env: &Env) -> Result<Result<Code>> {
    live(args.progress, &args.machine, Some(args), env, async |parts| {
        for text in unsupported::notes(&args.unsupported) {
            parts.sink.emit(Event::Note { text });
        }
        let mut console = args.interactive.then(|| console(parts.context.spawner)).transpose()?;
        let file = recipe::file(file)?;
        let interrupts = &mut parts.context.interrupts;
        let loaded = recipe::load_unless(interrupts, &file, &args.recipe, parts.sink).await?;
        let Some(recipe) = loaded else { return Ok(Code::Success) };
        let options = options::options(&args.machine, env, &file)?;
        let (packaging, key) = options::packaging(&args.package, &recipe::commit(&file, &args.recipe), env)?;
        let mut options = BuildOptions { packaging, ..options };
        package::check_writable(&options.out_dir)?;
        package::logs::check_logs(&options.packaging, &options.out_dir, recipe.arch.apk())?;
        if options.packaging.has_index() {
            package::check_index(&options.out_dir.join(recipe.arch.apk()))?;
        }
        if let Some(text) = options::exposed_key(key.as_ref(), &options.packaging) {
            parts.sink.emit(Event::Warning { kind: WarningKind::KeyExposed, text });
        }
        if args.needs_built {
            options.repositories.built = built::packages(&options, key.as_ref())?;
        }
        let request = Request { recipe, options, cache_wait: args.machine.cache_wait };
        let extras = Extras {
            key,
            console: console.as_mut().map(|console| console as &mut dyn engine::Console),
            keep: args.keep_on_failure.then(|| parts.context.run_dir.join(workspace::FILE)),
            rerun_command: (!args.interactive).then(|| rerun_command::interactive(env::args_os(), args)),
        };
        parts.build(request, &args.machine, extras, |prepared| prepared).await?;
        Ok(Code::Success)
    })
    .await
}

/// The terminal of `-i`, which shows the build's progress as well.
fn console(spawner: &Spawner) -> Result<Console> {
    Console::terminal(
        OutputStream::Stderr,
        spawner.terminals(),
        "-i",
        "run it in a terminal, or leave -i out; --keep-on-failure keeps the workspace",
    )
}
