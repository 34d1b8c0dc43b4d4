//! `kiln cache report`: what a cache holds, counted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use super::lease;
use crate::{
    cache::{self, Inventory, Strength},
    cli::CacheArgs,
    event::Amount,
    exit::Code,
    home::Home,
    report,
};

/// Counts all, and keeps the sums for the reports of builds.
pub(super) fn run(home: &Home, cache: &CacheArgs, json: bool) -> Result<Code> {
    let lease = lease(home, cache, Strength::Shared)?;
    let amounts = cache::renew(home, lease.directory())?;
    let inventory = cache::inventory(&lease)?;
    let rows = amounts.iter().map(|(name, amount)| (name, *amount, inventory.get(name)));
    if json {
        let rows: serde_json::Map<_, _> =
            rows.map(|(name, amount, has)| (name.clone(), row(amount, has))).collect();
        let document = serde_json::json!({"cache_dir": lease.directory().to_string_lossy(), "exact": true, "directories": rows});
        return report::print(&format!("{}\n", serde_json::to_string_pretty(&document)?));
    }
    let now = SystemTime::now();
    report::print(&rows.map(|(name, amount, has)| line(name, amount, has, now)).collect::<String>())
}

fn row(Amount { entries, bytes }: Amount, has: Option<&Inventory>) -> serde_json::Value {
    let since_epoch = |used: SystemTime| used.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    serde_json::json!({
        "entries": entries,
        "bytes": bytes,
        "units": has.map(|has| has.units),
        "unit": has.map(|has| has.unit),
        "used": has.map(|has| since_epoch(has.used)),
    })
}

fn line(name: &str, Amount { entries, bytes }: Amount, has: Option<&Inventory>, now: SystemTime) -> String {
    let mut line = format!("{:<16} {entries:>9} entries  {bytes:>15} bytes", report::name(name));
    if let Some(Inventory { units, unit, used }) = has {
        let hours = now.duration_since(*used).unwrap_or(Duration::ZERO).as_secs() / 3600;
        line += &format!("  {units:>7} wholes ({unit}); used {hours} h ago");
    }
    line + "\n"
}
