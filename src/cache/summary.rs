//! The summary of a cache, which says how much it holds, so that no build has to count: `<home>/summaries/<key>`.
//!
//! A commit updates it; `kiln cache report` counts the cache and writes it anew. It is not exact for a cache that other
//! programs write into as well.

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
/// The most entries that are counted for a report, if there is no summary: some ten milliseconds.
const QUICK: u64 = 5_000;

/// What is known of the content of a cache.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// By category.
    pub amounts: Amounts,
    /// Of these, the entries whose change is reported as new; empty where the cache was not counted just now.
    pub worth: Amounts,
    /// Whether the cache was counted just now.
    pub exact: bool,
    /// The bytes of each file by its inode, where the cache was counted just now.
    pub files: Option<HashMap<u64, u64>>,
}

/// Seconds and nanoseconds since the epoch.
type Born = (u64, u32);

#[derive(Serialize, Deserialize)]
struct Stored {
    /// When the directory was made, where its file system knows: a later directory may have the same inode.
    born: Option<Born>,
    entries: BTreeMap<String, (u64, u64)>,
}

/// What the cache holds, without counting much; `None` where that is not known.
///
/// Where a build's writes go through, the difference of two counts says what is new, so a count is preferred to a summary.
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

/// After writes that went straight through: what the cache holds now, if counting it is quick. The earlier summary is wrong.
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

/// Counts the cache, and writes the summary.
pub fn renew(home: &Home, directory: &Path) -> Result<Amounts> {
    let key = Key::of(directory)?;
    let dir = BeneathDir::open(directory).with_context(|| format!("open {}", directory.display()))?;
    let amounts = count(&dir, u64::MAX)?.unwrap_or_default().amounts;
    store(home, directory, &key, &amounts)?;
    Ok(amounts)
}

/// Applies the changes of commits to the summary. Under the lock of commits.
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
    // A summary that cannot be read, or that is of an earlier directory, is ignored.
    let stored: Option<Stored> = serde_json::from_slice(&bytes).ok();
    let born = born(directory)?;
    Ok(stored.filter(|stored| stored.born == born).map(|stored| {
        let amount = |(name, (entries, bytes))| (name, Amount { entries, bytes });
        stored.entries.into_iter().map(amount).collect()
    }))
}

fn born(directory: &Path) -> Result<Option<Born>> {
    let metadata = fs::metadata(directory).with_context(|| format!("look at {}", directory.display()))?;
    // Not every file system knows it, and a time before the epoch has no meaning.
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

/// Counts files and links; `None` if there are more than `most`.
fn count(dir: &BeneathDir, most: u64) -> Result<Option<Usage>> {
    let mut held = Usage { exact: true, ..Usage::default() };
    let (mut entries, mut files) = (0, HashMap::new());
    let counted = walk(dir, |found| {
        if found.file_type == FileType::Directory {
            return Ok(ControlFlow::Continue(()));
        }
        entries += 1;
        if entries > most {
            return Ok(ControlFlow::Break(()));
        }
        let kind = ecosystem::kind(Path::new(OsStr::from_bytes(found.path)));
        let amount = usage::of(&found.stat);
        if found.file_type == FileType::File {
            files.insert(found.stat.st_ino, u64::try_from(found.stat.st_size).unwrap_or_default());
        }
        usage_delta::count(&mut held.amounts, found.path, found.file_type, amount);
        if kind == ecosystem::Kind::Kept {
            usage_delta::count(&mut held.worth, found.path, found.file_type, amount);
        }
        Ok(ControlFlow::Continue(()))
    });
    let all = counted.context("count the cache")? == Seen::All;
    Ok(all.then_some(Usage { files: Some(files), ..held }))
}
