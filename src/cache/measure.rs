//! How much the cache holds, directory by directory, and what a build made of it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{
    event::{Amount, CacheDirectory, CacheReport},
    plan::{CacheMode, CachePlan, CacheShare},
};

/// Counting stops here: a report must not take longer than a build.
const MOST_ENTRIES: u64 = 500_000;
/// The name under which files directly in the cache directory are counted (`fetch` keeps sources there, by their hash).
const SOURCES: &str = "sources";

/// What a cache holds, by top-level directory; `None` when it was too much to count.
pub type Measured = Option<BTreeMap<String, Amount>>;

/// Counts files and links and their bytes below `directory`. What cannot be read is not counted.
pub fn measure(directory: &Path) -> Measured {
    let mut amounts = BTreeMap::<String, Amount>::new();
    let mut entries = 0;
    let mut open: Vec<(PathBuf, Option<OsString>)> = vec![(directory.to_owned(), None)];
    while let Some((path, top)) = open.pop() {
        let Ok(listing) = fs::read_dir(&path) else { continue };
        for entry in listing.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                open.push((entry.path(), Some(top.clone().unwrap_or_else(|| entry.file_name()))));
                continue;
            }
            let name = top.as_ref().map_or(SOURCES.into(), |top| top.to_string_lossy().into_owned());
            let amount = amounts.entry(name).or_default();
            amount.entries += 1;
            amount.bytes += metadata.size();
            entries += 1;
            if entries > MOST_ENTRIES {
                return None;
            }
        }
    }
    Some(amounts)
}

/// What became of the cache, from what it held before and holds after.
pub fn report(plan: Option<&CachePlan>, before: Measured, after: Measured, succeeded: bool) -> CacheReport {
    let Some(plan) = plan else {
        return CacheReport {
            mode: "none".into(),
            persisted: false,
            why: "there is no cache directory".into(),
            directories: Vec::new(),
        };
    };
    let (persisted, why) = match (plan.mode, plan.share) {
        (CacheMode::Rw, _) if succeeded => (true, "writes go straight to the host's directory"),
        (CacheMode::Rw, _) => {
            (true, "writes go straight to the host's directory, those of a build that failed too")
        }
        (CacheMode::Commit, _) => (false, "--cache-mode commit"),
        (CacheMode::Ro, _) => (false, "the build could not write into it (--cache-mode ro)"),
        (CacheMode::Discard, CacheShare::NineP) => {
            (false, "by 9p writes are discarded; QEMU_USE_VIRTIOFS=1 keeps them")
        }
        (CacheMode::Discard, CacheShare::Virtiofs | CacheShare::Bind) => (false, "--cache-mode discard"),
    };
    let directories = match (before, after) {
        (Some(before), Some(after)) => directories(&before, &after, persisted),
        _ => Vec::new(),
    };
    CacheReport { mode: plan.mode.name().into(), persisted, why: why.into(), directories }
}

fn directories(
    before: &BTreeMap<String, Amount>,
    after: &BTreeMap<String, Amount>,
    persisted: bool,
) -> Vec<CacheDirectory> {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of =
        |amounts: &BTreeMap<String, Amount>, name: &String| amounts.get(name).copied().unwrap_or_default();
    names
        .into_iter()
        .map(|name| {
            let (held, holds) = (of(before, name), of(after, name));
            let new = Amount {
                entries: holds.entries.saturating_sub(held.entries),
                bytes: holds.bytes.saturating_sub(held.bytes),
            };
            // What the guest threw away cannot be seen from here.
            CacheDirectory { name: name.clone(), before: held, new: persisted.then_some(new), reused: None }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::CacheSharing;

    #[test]
    fn counts_by_top_level_directory_and_reports_what_is_new() {
        let cache = tempfile::tempdir().expect("a directory can be made");
        fs::create_dir_all(cache.path().join("pip/a/b")).expect("made");
        fs::write(cache.path().join("pip/a/b/x"), "12345").expect("written");
        fs::write(cache.path().join("sha256:00"), "1").expect("written");
        let before = measure(cache.path());
        fs::write(cache.path().join("pip/y"), "12").expect("written");
        let plan = CachePlan {
            directory: cache.path().into(),
            mode: CacheMode::Rw,
            share: CacheShare::Virtiofs,
            sharing: CacheSharing::Locked,
        };
        let report = report(Some(&plan), before, measure(cache.path()), true);
        let row = |name: &str, entries, bytes, new| CacheDirectory {
            name: name.into(),
            before: Amount { entries, bytes },
            new: Some(new),
            reused: None,
        };
        assert_eq!(
            report.directories,
            [row("pip", 1, 5, Amount { entries: 1, bytes: 2 }), row("sources", 1, 1, Amount::default())]
        );
        assert!(report.persisted);
    }

    #[test]
    fn what_is_discarded_is_not_called_kept() {
        let plan = CachePlan {
            directory: "/x".into(),
            mode: CacheMode::Discard,
            share: CacheShare::NineP,
            sharing: CacheSharing::Shared,
        };
        let report = report(Some(&plan), Some(BTreeMap::new()), Some(BTreeMap::new()), true);
        assert_eq!((report.mode.as_str(), report.persisted), ("discard", false));
    }
}
