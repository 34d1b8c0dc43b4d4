//! Makes a cache smaller: removes entries that have not been used for a while. A tool that misses one fetches it again.
//!
//! ```text
//! entries (all there are) --choose (pure)--> those to go --remove--> journal --merge--> gone
//! ```
//!
//! [`ecosystem::unit`] says which files are one entry. A removal is a commit that only deletes: decided in the journal, merged
//! by renames into the trash of a staging directory, and completed by the next lease if kiln dies in between. An entry is used
//! when one of its files is read or written; a file system without access times knows only of writes.

mod entry;
mod joined;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    ops::ControlFlow,
    os::unix::ffi::OsStrExt,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};

pub use self::entry::Entry;
use super::{
    commit::commit,
    dir::{BeneathDir, FileType, ctime, is_below, permissions, shown, split, usage, walk::Found},
    lease::Lease,
    txn::{
        category::{SOURCES, TOP, category},
        contents::walk,
        journal,
        stage::{LeftOut, Staged},
        staging::{Flush, Staging},
        usage_delta::Amounts,
    },
};
use crate::{
    ecosystem::{self, git_checkout},
    event::Amount,
    exit::Failure,
};

/// How many entries are decided at once: each record costs some flushes, and is some MiB.
const AT_ONCE: usize = 1 << 16;

/// The entries that are to be removed.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The least recently used, until the cache holds at most this many bytes.
    pub most_bytes: Option<u64>,
    /// Those that have not been used for this long.
    pub unused_for: Option<Duration>,
    /// But not those at these paths of the cache, or below.
    pub keep: Vec<Vec<u8>>,
}

/// The result of a prune, or of one that was only asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// The removed entries, the least recently used first.
    pub removed: Vec<Entry>,
    /// What the cache holds after it.
    pub left: Amount,
}

/// The path that a word of `--keep` or of an export means: the directory of an ecosystem by its name, or an existing path.
///
/// # Errors
/// A usage failure for a word that means nothing: a slip must not cost the cache.
pub fn named(lease: &Lease, word: &str, option: &str) -> Result<Vec<u8>> {
    let path = ecosystem::named(word).map_or(word.trim_matches('/'), |ecosystem| ecosystem.directory);
    if path == SOURCES || ecosystem::of(Path::new(path)).is_some() {
        return Ok(path.into());
    }
    let plain = crate::package::check_path(path.as_bytes()).is_ok();
    let (directory, name) = split(path.as_bytes());
    let dir = if plain { lease.root.dir(directory).context("look into the cache")? } else { None };
    if dir.map(|dir| dir.stat(name)).transpose().context("look into the cache")?.flatten().is_some() {
        return Ok(path.into());
    }
    let what = format!("{option}: the cache has no {word:?}, and no tool has that name");
    Err(Failure::usage(what, "kiln cache report names what there is").into())
}

/// The entries of one category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// How many there are.
    pub units: u64,
    /// The name of one of them.
    pub unit: &'static str,
    /// The last use of any.
    pub used: SystemTime,
}

/// All entries, by category.
pub fn inventory(lease: &Lease) -> Result<BTreeMap<String, Inventory>> {
    let mut kinds = BTreeMap::new();
    for Entry { kind, used, .. } in entries(&lease.root)? {
        let unit = match ecosystem::of(Path::new(&kind)) {
            Some((ecosystem, _)) => ecosystem.entry,
            None if kind == git_checkout::DIRECTORY => git_checkout::ENTRY,
            None if kind == SOURCES => "source",
            None if kind == TOP => "file",
            None => "directory",
        };
        let sum = kinds.entry(kind).or_insert(Inventory { units: 0, unit, used });
        sum.units += 1;
        sum.used = sum.used.max(used);
    }
    Ok(kinds)
}

/// Chooses the entries that a prune would remove.
pub fn would_prune(lease: &Lease, wanted: &Wanted, now: SystemTime) -> Result<Pruned> {
    let all = entries(&lease.root)?;
    let mut left = total(&all);
    let removed = choose(all, wanted, now);
    let gone = total(&removed);
    left = Amount { entries: left.entries - gone.entries, bytes: left.bytes - gone.bytes };
    Ok(Pruned { removed, left })
}

/// Removes entries. The lease is exclusive.
pub fn prune(lease: &Lease, wanted: &Wanted, now: SystemTime) -> Result<Pruned> {
    let pruned = would_prune(lease, wanted, now)?;
    remove(lease, &pruned.removed)?;
    Ok(pruned)
}

fn total(entries: &[Entry]) -> Amount {
    let add = |sum: Amount, entry: &Entry| Amount {
        entries: sum.entries + entry.amount.entries,
        bytes: sum.bytes + entry.amount.bytes,
    };
    entries.iter().fold(Amount::default(), add)
}

/// All entries of a cache.
pub(super) fn entries(cache: &BeneathDir) -> Result<Vec<Entry>> {
    let mut entries = BTreeMap::new();
    let each = |found: &Found<'_>| {
        if found.file_type != FileType::Directory {
            add(&mut entries, found);
        }
        Ok(ControlFlow::Continue(()))
    };
    walk(cache, each).context("look through the cache")?;
    joined::join(cache, entries.into_values().collect())
}

fn add(entries: &mut BTreeMap<(String, String), Entry>, found: &Found<'_>) {
    let unit = ecosystem::unit(Path::new(OsStr::from_bytes(found.path)));
    let kind = category(found.path, false);
    let key = (kind.clone(), unit.name.clone());
    let entry = entries.entry(key).or_insert_with(|| Entry {
        kind,
        name: unit.name,
        amount: Amount::default(),
        used: UNIX_EPOCH,
        paths: BTreeSet::new(),
    });
    let root = first(found.path, unit.components);
    if !entry.paths.contains(root) {
        entry.paths.insert(root.to_vec());
    }
    entry.amount.entries += 1;
    entry.amount.bytes += usage::content(&found.stat);
    let time = |seconds: i64, nanos: i64| {
        let since = Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanos).ok()?);
        UNIX_EPOCH.checked_add(since)
    };
    let read = time(found.stat.st_atime, found.stat.st_atime_nsec);
    let written = time(found.stat.st_mtime, found.stat.st_mtime_nsec);
    entry.used = entry.used.max(read.max(written).unwrap_or(UNIX_EPOCH));
}

/// The first components of a path.
fn first(path: &[u8], components: usize) -> &[u8] {
    let mut slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.nth(components.saturating_sub(1)).map_or(path, |(at, _)| &path[..at])
}

/// The entries to remove, the least recently used first.
fn choose(mut all: Vec<Entry>, wanted: &Wanted, now: SystemTime) -> Vec<Entry> {
    let Wanted { most_bytes, unused_for, keep } = wanted;
    let mut bytes = total(&all).bytes;
    all.retain(|entry| !touches(entry, keep));
    all.sort_by(|a, b| (a.used, &a.kind, &a.name).cmp(&(b.used, &b.kind, &b.name)));
    let goes = |entry: &Entry| {
        let unused = now.duration_since(entry.used).unwrap_or(Duration::ZERO);
        let goes =
            unused_for.is_some_and(|most| unused >= most) || most_bytes.is_some_and(|most| bytes > most);
        if goes {
            bytes -= entry.amount.bytes;
        }
        goes
    };
    all.into_iter().filter(goes).collect()
}

/// Whether a path that is to be kept is part of the entry.
fn touches(Entry { kind, paths, .. }: &Entry, keep: &[Vec<u8>]) -> bool {
    let named = |kept: &Vec<u8>| {
        (kind == SOURCES && kept == SOURCES.as_bytes())
            || paths.iter().any(|path| is_below(path, kept) || is_below(kept, path))
    };
    keep.iter().any(named)
}

/// Removes entries; if kiln dies meanwhile, the next lease completes it. The lease is exclusive.
pub(super) fn remove(lease: &Lease, entries: &[Entry]) -> Result<()> {
    // Since the lease is exclusive, all entries have been seen until now.
    let started = ctime::after_all()?;
    for some in entries.chunks(AT_ONCE) {
        let staging = Staging::make(lease)?;
        staging.sync(Flush::Each).context("prepare the removal")?;
        let mut deletions = Vec::new();
        for entry in some {
            deletions.extend(entry.paths.iter().cloned());
        }
        let modes = read_only(&lease.root, &deletions)?;
        let record = journal::Record {
            staging: staging.name().to_owned(),
            started,
            deletions: deletions.clone(),
            opaque: Vec::new(),
            modes,
        };
        let staged = Staged {
            staging,
            record,
            gains: Amounts::new(),
            left_out: LeftOut::default(),
            times: Vec::new(),
        };
        commit(lease, staged, lease.lock_commits()?)?;
        for path in &deletions {
            remove_empty_above(&lease.root, path);
        }
    }
    Ok(())
}

/// The directories that lose an entry and that their owner cannot write, with their modes.
fn read_only(cache: &BeneathDir, deletions: &[Vec<u8>]) -> Result<Vec<(Vec<u8>, u32)>> {
    let parents: BTreeSet<&[u8]> = deletions.iter().map(|path| split(path).0).collect();
    let mut modes = Vec::new();
    for parent in parents {
        let Some(dir) = cache.dir(parent).with_context(|| format!("open {}", shown(parent)))? else {
            continue;
        };
        let mode = permissions(&dir.itself()?);
        if mode & 0o200 == 0 {
            modes.push((parent.to_vec(), mode));
        }
    }
    Ok(modes)
}

/// Removes the directories above a path that are empty now. Those at the top stay, since tools expect some of them.
fn remove_empty_above(cache: &BeneathDir, path: &[u8]) {
    let (mut directory, _) = split(path);
    while directory.contains(&b'/') {
        let (above, name) = split(directory);
        let Ok(Some(dir)) = cache.dir(above) else { return };
        // best effort: an empty directory is in the way of nothing.
        let _ = dir.remove_empty(name);
        directory = above;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, bytes: u64, used: u64) -> Entry {
        Entry {
            kind: "k".into(),
            name: name.into(),
            amount: Amount { entries: 1, bytes },
            used: UNIX_EPOCH + Duration::from_secs(used),
            paths: [format!("k/{name}").into_bytes()].into(),
        }
    }

    fn chosen(wanted: &Wanted) -> Vec<String> {
        let all = vec![entry("new", 10, 300), entry("old", 10, 100), entry("mid", 10, 200)];
        let now = UNIX_EPOCH + Duration::from_secs(300);
        choose(all, wanted, now).into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn the_least_recently_used_are_removed_until_it_is_small_enough() {
        let most = |bytes| Wanted { most_bytes: Some(bytes), ..Wanted::default() };
        for (bytes, gone) in [
            (30, &[][..]),
            (29, &["old"]),
            (20, &["old"]),
            (19, &["old", "mid"]),
            (0, &["old", "mid", "new"]),
        ] {
            assert_eq!(chosen(&most(bytes)), gone, "{bytes}");
        }
    }

    #[test]
    fn unused_entries_are_removed_but_for_those_to_keep() {
        let unused = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(chosen(&Wanted { unused_for: unused(101), ..Wanted::default() }), ["old"]);
        assert_eq!(chosen(&Wanted { unused_for: unused(100), ..Wanted::default() }), ["old", "mid"]);
        let keep = vec![b"k/old".to_vec()];
        let wanted = Wanted { most_bytes: Some(15), unused_for: None, keep };
        assert_eq!(chosen(&wanted), ["mid", "new"]);
        assert!(chosen(&Wanted { keep: vec![b"k".to_vec()], ..wanted }).is_empty());
    }

    #[test]
    fn keeping_a_part_keeps_the_entry() {
        let at = |kind: &str, path: &str| Entry {
            kind: kind.into(),
            paths: [path.as_bytes().to_vec()].into(),
            ..entry("x", 1, 1)
        };
        assert!(touches(&at("own", "own"), &[b"own/a/b".to_vec()]));
        assert!(!touches(&at("own", "own"), &[b"owner".to_vec()]));
        let sources = [SOURCES.as_bytes().to_vec()];
        assert!(touches(&at(SOURCES, "sha256:00"), &sources) && !touches(&at("own", "own"), &sources));
    }

    #[test]
    fn a_path_is_cut_after_components() {
        for (components, cut) in [(1, "a"), (2, "a/b"), (3, "a/b/c"), (4, "a/b/c")] {
            assert_eq!(first(b"a/b/c", components), cut.as_bytes());
        }
    }
}
