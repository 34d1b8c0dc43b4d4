//! `kiln update-cache`: the sources of build files into the cache, before any build.

use std::{fs, path::Path, rc::Rc};

use anyhow::{Context, Result};

use super::{recipe, signals, wishes};
use crate::{
    cache::{Lease, Request, Strength},
    cli::UpdateCacheArgs,
    env::Env,
    event::{Event, Sink},
    exit::{Code, Failure},
    home::Home,
    process::Spawner,
    report::{Outlets, Reporter},
    sources,
};

/// Fills the cache for all files.
pub(super) async fn run(args: &UpdateCacheArgs, env: &Env) -> Result<Code> {
    let mut reporter = Reporter::new(super::progress(args.progress), Outlets::of_process());
    let limit = wishes::cache_wait(&args.cache_wait)?;
    let home = Home::find(env)?;
    let mut wanted = Vec::new();
    for file in files(args)? {
        let Some(recipe) = recipe::load(&file, &args.recipe, &mut reporter)? else { continue };
        for source in sources::of(&recipe) {
            if !wanted.contains(&source) {
                wanted.push(source);
            }
        }
    }
    let cache = Path::new(&args.cache_dir);
    fs::create_dir_all(cache).with_context(|| format!("make {}", cache.display()))?;
    let cache = fs::canonicalize(cache).with_context(|| format!("examine {}", cache.display()))?;
    let count = wanted.len();
    let spawner = Rc::new(Spawner::start()?);
    let filled = signals::abortable(async {
        // A build that excludes others keeps what it has seen of the directory.
        let (directory, who) = (cache.clone(), "kiln update-cache".to_owned());
        let request = Request { directory, strength: Strength::Shared, who, limit };
        let lease = Lease::acquire(&home, request, &mut reporter).await?;
        sources::fill(wanted, &cache, &spawner, &mut reporter).await?;
        lease.finish()
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
    if args.cache_dir.is_empty() {
        return Err(Failure::usage("--cache-dir \"\" names no directory to fill", "name one"));
    }
    if args.files.is_empty() { Ok(vec![recipe::file(None)?]) } else { Ok(args.files.clone()) }
}
