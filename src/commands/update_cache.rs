//! `kiln update-cache`: fetches the sources of build files into the cache, before any build.

use std::rc::Rc;

use anyhow::Result;

use super::{recipe, signals};
use crate::{
    cache::{self, LockMode, Request},
    cli::UpdateCacheArgs,
    env::Env,
    event::{Event, Sink},
    exit::{Code, Failure},
    home::Home,
    process::Spawner,
    report::{OutputStreams, Reporter},
    sources,
};

/// Fetches the sources of all files.
pub(super) async fn run(args: &UpdateCacheArgs, env: &Env) -> Result<Code> {
    let mut reporter = Reporter::new(args.progress, OutputStreams::of_process());
    let home = Home::find(env)?;
    let mut wanted = Vec::new();
    for file in files(args)? {
        let Some(recipe) = recipe::load(&file, &args.recipe, &mut reporter)? else { continue };
        let of_file = sources::of(&recipe);
        sources::check(&of_file, &file)?;
        for source in of_file {
            if !wanted.contains(&source) {
                wanted.push(source);
            }
        }
    }
    let cache = cache::directory(&args.cache_dir)?
        .ok_or_else(|| Failure::usage("--cache-dir \"\" names no directory to fill", "name one"))?;
    let count = wanted.len();
    let spawner = Rc::new(Spawner::start()?);
    let filled = signals::abortable(async {
        // With a lease, since the guest of a build that has the cache alone does not look at it again.
        let (directory, who) = (cache.clone(), cache::UPDATE.to_owned());
        let request = Request { directory, lock_mode: LockMode::Shared, who, limit: args.cache_wait };
        let lease = Rc::new(cache::acquire(&home, request, &mut reporter).await?);
        sources::fill(&wanted, args.limit, &lease, &spawner, &mut reporter).await?;
        let finished = cache::finish(&lease);
        lease.emit_remarks(&mut reporter);
        finished
    })
    .await;
    if filled.is_ok() {
        let text = match count {
            1 => format!("1 source is in {}", cache.display()),
            count => format!("{count} sources are in {}", cache.display()),
        };
        reporter.emit(Event::Note { text });
    }
    if let Some(spawner) = Rc::into_inner(spawner) {
        spawner.finish()?;
    }
    filled.map(|()| Code::Success)
}

fn files(args: &UpdateCacheArgs) -> Result<Vec<std::path::PathBuf>, Failure> {
    if args.files.is_empty() { Ok(vec![recipe::file(None)?]) } else { Ok(args.files.clone()) }
}
