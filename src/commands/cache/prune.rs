//! `kiln cache prune`: less of a cache, and what went.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;

use super::{lease, nested};
use crate::{
    cache::{self, Entry, Lease, LockMode, Pruned, Wanted},
    cli::PruneArgs,
    event::Amount,
    exit::Code,
    home::Home,
    report,
};

/// Removes, or says what would be removed.
pub(super) fn run(home: &Home, args: &PruneArgs) -> Result<Code> {
    let now = SystemTime::now();
    let lock_mode = if args.dry_run { LockMode::Shared } else { LockMode::Exclusive };
    let lease = lease(home, &args.cache, lock_mode)?;
    let keep = args.keep.iter().map(|word| cache::named(&lease, word, "--keep")).collect::<Result<_>>()?;
    let wanted = Wanted { most_bytes: args.max_size.map(|size| size.0), unused_for: args.older_than, keep };
    let pruned = match args.dry_run {
        true => cache::would_prune(&lease, &wanted, now)?,
        false => {
            let _nested = nested(home, lease.directory())?;
            cache::sweep(home)?;
            cache::sweep_private(home)?;
            cache::prune(&lease, &wanted, now)?
        }
    };
    let text = if args.json {
        json(&lease, &pruned, args.dry_run)?
    } else {
        text(&lease, &pruned, args.dry_run, now)
    };
    report::print(&text)
}

fn by_kind(removed: &[Entry]) -> BTreeMap<&str, (u64, Amount)> {
    let mut kinds: BTreeMap<&str, (u64, Amount)> = BTreeMap::new();
    for Entry { kind, amount, .. } in removed {
        let (entries, sum) = kinds.entry(kind).or_default();
        *entries += 1;
        sum.entries += amount.entries;
        sum.bytes += amount.bytes;
    }
    kinds
}

fn text(lease: &Lease, Pruned { removed, left }: &Pruned, dry_run: bool, now: SystemTime) -> String {
    let verb = if dry_run { "would remove" } else { "removed" };
    let mut text = format!("{}\n", report::name(&lease.directory().to_string_lossy()));
    for Entry { kind, name, amount, used, .. } in removed {
        let used = report::age(now.duration_since(*used).unwrap_or(Duration::ZERO));
        let (kind, name, size) = (report::name(kind), report::name(name), report::size(amount.bytes));
        text += &format!("{verb} {kind}  {name}  {size}, used {used}\n");
    }
    let kinds = by_kind(removed);
    if !kinds.is_empty() {
        text += "NAME               ENTRIES        SIZE\n";
    }
    for (kind, (entries, amount)) in &kinds {
        text += &format!("{:<16} {entries:>9}  {:>10}\n", report::name(kind), report::size(amount.bytes));
    }
    let freed = report::size(kinds.values().map(|(_, amount)| amount.bytes).sum());
    let (count, stays) = (removed.len(), report::size(left.bytes));
    text + &format!("{verb} {count} entries, {freed}; {stays} in {} files stay\n", left.entries)
}

fn json(lease: &Lease, Pruned { removed, left }: &Pruned, dry_run: bool) -> Result<String> {
    let rows: Vec<_> = removed
        .iter()
        .map(|Entry { kind, name, amount, used, .. }| {
            let used = used.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
            serde_json::json!({
                "kind": kind, "name": name, "files": amount.entries, "bytes": amount.bytes, "used": used,
            })
        })
        .collect();
    let freed: u64 = removed.iter().map(|entry| entry.amount.bytes).sum();
    let document = serde_json::json!({
        "cache_dir": lease.directory().to_string_lossy(),
        "dry_run": dry_run,
        "removed": rows,
        "freed_bytes": freed,
        "left": {"entries": left.entries, "bytes": left.bytes},
    });
    Ok(format!("{}\n", serde_json::to_string_pretty(&document)?))
}
