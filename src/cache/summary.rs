//! How much a cache holds, kept by those who change it, so that no build has to count.
//!
//! `<home>/summaries/<key>`. A commit adds what it added; `kiln cache report` counts and writes what it found. A cache that
//! others write into as well is not exactly what its summary says.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsStr,
    fs,
    ops::ControlFlow,
    os::unix::ffi::OsStrExt,
    path::Path,
    time::UNIX_EPOCH,
};

use anyhow::{Context, Result};
use kiln_protocol::Access;
use serde::{Deserialize, Serialize};

use super::{
    dir::{BeneathDir, FileType, usage, walk::Seen},
    txn::{
        contents::walk,
        open_cache::{Key, OpenCache},
        usage_delta::{self, Amounts, UsageDelta},
    },
};
use crate::{ecosystem, event::Amount, home::Home};

pub(super) const SUMMARIES: &str = "summaries";
/// A cache without a summary is counted for a report only up to here: some ten milliseconds.
const QUICK: u64 = 5_000;

/// FileType is known of a cache.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// By kind of directory.
    pub amounts: Amounts,
    /// Of that, what a change of would be new; empty where it was not counted just now.
    pub worth: Amounts,
    /// Whether it was counted just now.
    pub exact: bool,
    /// The bytes of each file by its number, where it was counted just now.
    pub files: Option<HashMap<u64, u64>>,
}

/// Seconds and nanoseconds since the epoch.
type Born = (u64, u32);

#[derive(Serialize, Deserialize)]
struct Stored {
    /// When the directory was made, where its file system knows: a later one may have its number.
    born: Option<Born>,
    entries: BTreeMap<String, (u64, u64)>,
}

/// FileType the cache holds, without counting much; `None` where that is not known.
///
/// Where a build's writes go through, only the difference of two counts says what is new: a summary comes second.
pub fn held(home: &Home, directory: &Path, access: Access) -> Result<Option<Usage>> {
    let kept = || {
        let amounts = load(home, directory, &Key::of(directory)?)?;
        anyhow::Ok(amounts.map(|amounts| Usage { amounts, ..Usage::default() }))
    };
    let counted = || {
        let dir = BeneathDir::open(directory).with_context(|| format!("open {}", directory.display()))?;
        count(&dir, QUICK)
    };
    let (first, second): (&dyn Fn() -> _, &dyn Fn() -> _) = match access {
        Access::ReadWrite => (&counted, &kept),
        Access::ReadOnly => (&kept, &counted),
    };
    first()?.map_or_else(second, |held| Ok(Some(held)))
}

/// After writes that went straight through: what the cache holds now, if counting it is quick. FileType was kept is wrong now.
pub(super) fn after_writes(home: &Home, directory: &Path) -> Result<Option<Usage>> {
    let key = Key::of(directory)?;
    let dir = BeneathDir::open(directory).with_context(|| format!("open {}", directory.display()))?;
    let counted = count(&dir, QUICK)?;
    match &counted {
        Some(held) => store(home, directory, &key, &held.amounts)?,
        None => home.remove(SUMMARIES, &key.0)?,
    }
    Ok(counted)
}

/// Counts all, and keeps it as the summary.
pub fn renew(home: &Home, directory: &Path) -> Result<Amounts> {
    let key = Key::of(directory)?;
    let dir = BeneathDir::open(directory).with_context(|| format!("open {}", directory.display()))?;
    let amounts = count(&dir, u64::MAX)?.unwrap_or_default().amounts;
    store(home, directory, &key, &amounts)?;
    Ok(amounts)
}

/// Commits have changed so much. Under the lock of commits.
pub(super) fn add<'t>(cache: &OpenCache, deltas: impl Iterator<Item = &'t UsageDelta>) -> Result<()> {
    let deltas: Vec<&UsageDelta> = deltas.filter(|delta| !delta.is_empty()).collect();
    if deltas.is_empty() {
        return Ok(());
    }
    let Some(mut amounts) = load(&cache.home, &cache.directory, &cache.key)? else {
        // The first commit into a small cache begins the summary; a large one waits for `kiln cache report`.
        if let Some(held) = count(&cache.root, QUICK)? {
            store(&cache.home, &cache.directory, &cache.key, &held.amounts)?;
        }
        return Ok(());
    };
    deltas.iter().for_each(|delta| delta.add_to(&mut amounts));
    store(&cache.home, &cache.directory, &cache.key, &amounts)
}

fn load(home: &Home, directory: &Path, key: &Key) -> Result<Option<Amounts>> {
    let Some(bytes) = home.read(SUMMARIES, &key.0)? else { return Ok(None) };
    // A summary that cannot be read is none, nor is that of another directory, which is gone.
    let stored: Option<Stored> = serde_json::from_slice(&bytes).ok();
    let born = born(directory)?;
    Ok(stored.filter(|stored| stored.born == born).map(|stored| {
        let amount = |(name, (entries, bytes))| (name, Amount { entries, bytes });
        stored.entries.into_iter().map(amount).collect()
    }))
}

fn born(directory: &Path) -> Result<Option<Born>> {
    let metadata = fs::metadata(directory).with_context(|| format!("look at {}", directory.display()))?;
    // Not every file system knows, nor has a time before the epoch a meaning.
    let since = metadata.created().ok().and_then(|created| created.duration_since(UNIX_EPOCH).ok());
    Ok(since.map(|since| (since.as_secs(), since.subsec_nanos())))
}

fn store(home: &Home, directory: &Path, key: &Key, amounts: &Amounts) -> Result<()> {
    let entries =
        amounts.iter().map(|(name, amount)| (name.clone(), (amount.entries, amount.bytes))).collect();
    let text = serde_json::to_vec(&Stored { born: born(directory)?, entries })
        .context("encode the summary of the cache")?;
    home.write(SUMMARIES, &key.0, &text)
}

/// Counts files and links; `None` when there are more than `most` of them.
fn count(dir: &BeneathDir, most: u64) -> Result<Option<Usage>> {
    let mut held = Usage { exact: true, ..Usage::default() };
    let (mut entries, mut files) = (0, HashMap::new());
    let counted = walk(dir, |found| {
        if found.what == FileType::Directory {
            return Ok(ControlFlow::Continue(()));
        }
        entries += 1;
        if entries > most {
            return Ok(ControlFlow::Break(()));
        }
        let kind = ecosystem::kind(Path::new(OsStr::from_bytes(found.path)));
        let amount = usage::of(&found.stat);
        if found.what == FileType::File {
            files.insert(found.stat.st_ino, u64::try_from(found.stat.st_size).unwrap_or_default());
        }
        usage_delta::count(&mut held.amounts, found.path, found.what, amount);
        if kind == ecosystem::Kind::Kept {
            usage_delta::count(&mut held.worth, found.path, found.what, amount);
        }
        Ok(ControlFlow::Continue(()))
    });
    let all = counted.context("count the cache")? == Seen::All;
    Ok(all.then_some(Usage { files: Some(files), ..held }))
}
