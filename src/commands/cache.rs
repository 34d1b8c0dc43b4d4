//! `kiln cache`: who uses which cache, what one holds, whether it is whole, and less of it.

mod archive;
mod prune;
mod report;
mod verify;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    cache::{self, Lease, LockMode, Request},
    cli::{CacheArgs, CacheCommand},
    env::Env,
    exit::{Code, Failure},
    home::Home,
    report::{OutputStreams, Progress, Reporter, name, print, size},
};

/// Does one of them.
pub(super) fn run(command: CacheCommand, env: &Env) -> Result<Code> {
    let home = Home::find(env)?;
    match command {
        CacheCommand::Ls { json } => list(&home, json),
        CacheCommand::Report { cache, json } => report::run(&home, &cache, json),
        CacheCommand::Export(args) => archive::export(&home, &args),
        CacheCommand::Import(args) => archive::import(&home, &args),
        CacheCommand::Prune(args) => prune::run(&home, &args),
        CacheCommand::Verify { cache, repair, json } => verify::run(&home, &cache, repair, json),
    }
}

fn list(home: &Home, json: bool) -> Result<Code> {
    let known = cache::known(home)?;
    if json {
        let mut rows = Vec::new();
        for (directory, holders) in known {
            rows.push(serde_json::json!({"cache_dir": directory.to_string_lossy(), "used_by": holders}));
        }
        return print(&format!("{}\n", serde_json::to_string_pretty(&rows)?));
    }
    if known.is_empty() {
        return print("no build has used a cache yet\n");
    }
    let mut rows = vec![("CACHE".to_owned(), "SIZE".to_owned(), "IN USE BY".to_owned())];
    for (directory, holders) in known {
        // What commits and reports have counted; a look that counts anew is `kiln cache report`.
        let held = cache::held(home, &directory, kiln_protocol::Access::ReadOnly)?;
        let size =
            held.map_or("-".into(), |held| size(held.amounts.values().map(|amount| amount.bytes).sum()));
        let users = if holders.is_empty() { "-".into() } else { holders.join("; ") };
        rows.push((name(&directory.to_string_lossy()), size, name(&users)));
    }
    let widest = rows.iter().map(|(directory, ..)| directory.chars().count()).max().unwrap_or(0);
    let line = |(directory, size, users)| format!("{directory:<widest$}  {size:>10}  {users}\n");
    print(&rows.into_iter().map(line).collect::<String>())
}

fn lease(home: &Home, args: &CacheArgs, lock_mode: LockMode) -> Result<Lease> {
    lease_of(home, &args.cache_dir, lock_mode, args.cache_wait)
}

fn lease_of(home: &Home, directory: &Path, lock_mode: LockMode, limit: Duration) -> Result<Lease> {
    let shown = directory.display();
    let directory = fs::canonicalize(directory).with_context(|| {
        Failure::new(Code::Cache, format!("there is no cache {shown}"), "name it with --cache-dir")
    })?;
    cache::apart(home, &directory)?;
    let who = cache::CARE.into();
    let request = Request { directory, lock_mode, who, limit };
    if !limit.is_zero() {
        let mut reporter = Reporter::new(Progress::Plain, OutputStreams::of_process());
        return super::on_runtime(Lease::acquire(home, request, &mut reporter));
    }
    Lease::try_acquire(home, &request)?.ok_or_else(|| {
        let what = format!("the cache {} is in use", request.directory.display());
        let way_out = "kiln cache ls says by whom; --cache-wait 1h waits until that build has ended";
        Failure::new(Code::Cache, what, way_out).into()
    })
}

/// The caches that lie in one, or around it: to be held, alone, by whoever removes something from it.
///
/// # Errors
/// A cache failure (7) when one is in use: who waited for it, holding the other, could have others wait for ever.
fn nested(home: &Home, directory: &Path) -> Result<Vec<Lease>> {
    let known = cache::known(home)?.into_iter().map(|(other, _)| other);
    let nested = |other: &PathBuf| {
        other != directory && (other.starts_with(directory) || directory.starts_with(other))
    };
    known.filter(nested).map(|other| lease_of(home, &other, LockMode::Exclusive, Duration::ZERO)).collect()
}
