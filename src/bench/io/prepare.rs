//! Before the first visit: a first guest makes the inputs, and another fills the caches of package managers.

use std::time::Instant;

use anyhow::{Context, Result};

use super::{
    estimate::Speed,
    facts,
    guest::{Directories, Guests},
    inputs::{Cache, DRIVE, Inputs, PREPARE},
    record::Record,
    scenarios::Work,
    selection::Selection,
    variants::{CacheUse, HOST, Share},
};
use crate::plan::{CacheModeOption, CacheSharing, Network, VirtiofsOption};

/// The cache in a guest.
const CACHE: &str = "/var/cache/melange";

/// What is known before the first visit.
pub(super) struct Prepared {
    pub(super) speed: Speed,
    pub(super) facts: Vec<(String, String)>,
    /// What cannot be measured, and why.
    pub(super) gaps: Vec<String>,
}

/// Makes all inputs. Package managers that cannot be measured are taken from the selection.
///
/// # Errors
/// When the first guest fails.
pub(super) async fn prepare(
    guests: &Guests<'_>,
    selection: &mut Selection,
    inputs: &Inputs,
) -> Result<Prepared> {
    let share = preparing(&selection.shares);
    let (tools, cache) = (inputs.tools(), inputs.cache()?);
    let directories = Directories { tools: &tools, cache: &cache.path, network: Network::Off };
    let plan = guests.plan(&share, directories).await?;
    let mut record = Record::default();
    let script = format!("/home/build/{PREPARE}");
    let started = Instant::now();
    let command = ["bash", &script, CACHE, selection.scale.word()];
    guests.run(&share, directories, &command, &mut record).await.context("make the inputs")?;
    let speed = Speed::of_preparation(started.elapsed());
    inputs.take(&cache)?;
    drop(cache);
    let gaps = fill_packages(guests, selection, inputs, &share).await?;
    let facts = facts::facts(guests, &plan, selection, &record).await?;
    Ok(Prepared { speed, facts, gaps })
}

/// Has the package managers fill their caches, in a guest with a network. Those that cannot do it are taken from the selection.
async fn fill_packages(
    guests: &Guests<'_>,
    Selection { scenarios, .. }: &mut Selection,
    inputs: &Inputs,
    share: &Share,
) -> Result<Vec<String>> {
    let packages = scenarios.iter().filter(|one| one.work == Work::Package);
    let names: Vec<String> = packages.map(|one| one.row.id.clone()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let units: String = names.iter().map(|name| format!("fill {name}\n")).collect();
    inputs.write("units", &units)?;
    let (tools, cache): (_, Cache) = (inputs.tools(), inputs.cache()?);
    let mut record = Record::of(names.iter().cloned());
    let directories = Directories { tools: &tools, cache: &cache.path, network: Network::On };
    let script = format!("/home/build/{DRIVE}");
    let done = guests.run(share, directories, &["bash", &script, CACHE], &mut record).await;
    done.context("fill the caches of package managers")?;
    inputs.take_packages(&cache)?;
    let mut gaps = Vec::new();
    scenarios.retain(|one| match record.elapsed(&one.row.id) {
        Err(why) if one.work == Work::Package => {
            gaps.push(format!(
                "{} is left out, its cache cannot be filled: {why}{}",
                one.row.id,
                record.last_lines()
            ));
            false
        }
        Ok(_) | Err(_) => true,
    });
    Ok(gaps)
}

/// The share of the first guests: a microVM where one is compared, with what needs no other program.
fn preparing(shares: &[Share]) -> Share {
    let like = shares.iter().find(|share| share.id != HOST).unwrap_or(&shares[0]);
    let cache =
        CacheUse { virtiofs: VirtiofsOption::Off, mode: CacheModeOption::Rw, sharing: CacheSharing::Locked };
    Share { cache: Some(cache), request_queues: None, ..like.clone() }
}
