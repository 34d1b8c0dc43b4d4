//! `kiln cache verify`: the faults of a cache, and their repair.

use anyhow::Result;

use super::{lease, nested};
use crate::{
    cache::{self, Fault, Lease, LockMode, Verdict},
    cli::CacheArgs,
    exit::{Code, Failure},
    home::Home,
    report,
};

/// Prints the faults, and repairs them with `--repair`.
pub(super) fn run(home: &Home, cache: &CacheArgs, repair: bool, json: bool) -> Result<Code> {
    let lock_mode = if repair { LockMode::Exclusive } else { LockMode::Shared };
    let lease = lease(home, cache, lock_mode)?;
    let _nested = if repair { nested(home, lease.directory())? } else { Vec::new() };
    let verdict = cache::verify(&lease)?;
    report::print(&if json { document(&lease, &verdict)? } else { text(&verdict) })?;
    let unrepaired = verdict.unrepaired();
    if unrepaired == 0 {
        return Ok(Code::Success);
    }
    let faults = if unrepaired == 1 { "1 fault is" } else { &format!("{unrepaired} faults are") };
    let what = format!("{faults} not repaired in the cache {}", lease.directory().display());
    let way_out = match repair {
        true => "the log names the reasons; only root can give away files of another user",
        false => "kiln cache verify --repair repairs them",
    };
    Err(Failure::new(Code::Cache, what, way_out).into())
}

fn text(verdict: &Verdict) -> String {
    let Verdict { compared, faults, leftovers, waiting, records } = verdict;
    let mut text = String::new();
    for (what, list) in [("wrong", faults), ("wrong", records), ("left over", leftovers)] {
        for Fault { path, why, repaired, .. } in list {
            let repaired = if *repaired { " (repaired)" } else { "" };
            text += &format!("{what}: {}: {why}{repaired}\n", report::name(&String::from_utf8_lossy(path)));
        }
    }
    if *waiting > 0 {
        let commits = if *waiting == 1 { "1 commit waits" } else { &format!("{waiting} commits wait") };
        text += &format!("{commits} until no other process uses the cache\n");
    }
    let count = faults.len() + records.len();
    let repaired = count - verdict.unrepaired();
    let files = if *compared == 1 { "file" } else { "files" };
    let faults = if count == 1 { "fault" } else { "faults" };
    text + &format!("{compared} {files} compared, {count} {faults}, {repaired} repaired\n")
}

fn document(lease: &Lease, verdict: &Verdict) -> Result<String> {
    let Verdict { compared, faults, leftovers, waiting, records } = verdict;
    let rows = |list: &[Fault]| -> Vec<serde_json::Value> {
        let row = |Fault { path, why, repaired, .. }: &Fault| {
            let path = String::from_utf8_lossy(path);
            serde_json::json!({"path": path, "why": why, "mended": repaired})
        };
        list.iter().map(row).collect()
    };
    let document = serde_json::json!({
        "cache_dir": lease.directory().to_string_lossy(),
        "compared": compared,
        "faults": rows(faults),
        "leftovers": rows(leftovers),
        "waiting": waiting,
        "damaged_records": rows(records),
    });
    Ok(format!("{}\n", serde_json::to_string_pretty(&document)?))
}
