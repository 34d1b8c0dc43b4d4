//! `kiln cache ls`.

use anyhow::Result;
use kiln_protocol::Access;

use crate::{
    cache,
    exit::Code,
    home::Home,
    report::{name, print, size},
};

/// Prints the caches that builds have used, with the users of each.
pub(super) fn run(home: &Home, json: bool) -> Result<Code> {
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
        // The sums of commits and reports. `kiln cache report` counts again.
        let held = cache::held(home, &directory, Access::ReadOnly)?;
        let size =
            held.map_or("-".into(), |held| size(held.amounts.values().map(|amount| amount.bytes).sum()));
        let users = if holders.is_empty() { "-".into() } else { holders.join("; ") };
        rows.push((name(&directory.to_string_lossy()), size, name(&users)));
    }
    let widest = rows.iter().map(|(directory, ..)| directory.chars().count()).max().unwrap_or(0);
    let line = |(directory, size, users)| format!("{directory:<widest$}  {size:>10}  {users}\n");
    print(&rows.into_iter().map(line).collect::<String>())
}
