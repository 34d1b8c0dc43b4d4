//! `kiln cache report`: what a cache holds, counted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use super::lease;
use crate::{
    cache::{self, Inventory, LockMode},
    cli::CacheArgs,
    event::Amount,
    exit::Code,
    home::Home,
    report,
};

/// Counts all, and keeps the sums for the reports of builds.
pub(super) fn run(home: &Home, cache: &CacheArgs, json: bool) -> Result<Code> {
    let lease = lease(home, cache, LockMode::Shared)?;
    let amounts = cache::renew(home, lease.directory())?;
    let inventory = cache::inventory(&lease)?;
    let rows = amounts.iter().map(|(name, amount)| (name, *amount, inventory.get(name)));
    if json {
        let rows: serde_json::Map<_, _> =
            rows.map(|(name, amount, has)| (name.clone(), row(amount, has))).collect();
        let document = serde_json::json!({"cache_dir": lease.directory().to_string_lossy(), "exact": true, "directories": rows});
        return report::print(&format!("{}\n", serde_json::to_string_pretty(&document)?));
    }
    let mut text = format!("{}\n{HEADER}\n", report::name(&lease.directory().to_string_lossy()));
    let (now, mut total) = (SystemTime::now(), Amount::default());
    for (name, amount, has) in rows {
        total = total.plus(amount);
        text += &line(name, amount, has, now);
    }
    report::print(&(text + &line("total", total, None, now)))
}

/// What stands over the columns of [`line`].
const HEADER: &str = "NAME                 FILES        SIZE  USED       HOLDS";

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
    let (name, size) = (report::name(name), report::size(bytes));
    let (used, holds) = has.map_or(Default::default(), |Inventory { units, unit, used }| {
        let age = now.duration_since(*used).unwrap_or(Duration::ZERO);
        (report::age(age), format!("{units} × {unit}"))
    });
    format!("{name:<16} {entries:>9}  {size:>10}  {used:<9}  {holds}").trim_end().to_owned() + "\n"
}
