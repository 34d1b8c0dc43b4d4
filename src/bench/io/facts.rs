//! What a result depends on besides the machine: versions of the programs, and the size of the guest.

use anyhow::Result;
use kiln_protocol::Access;

use super::{guest::Guests, record::Record, selection::Selection};
use crate::{
    bench::Machine,
    host::Host,
    plan::{Plan, VirtiofsOption},
    share::virtiofsd::{self, Service},
};

/// Names and values, without a path or a name of the host.
///
/// # Errors
/// When a program that is compared no longer says its version.
pub(super) async fn facts(
    Guests { env, home, spawner, accelerator, .. }: &Guests<'_>,
    plan: &Plan,
    selection: &Selection,
    record: &Record,
) -> Result<Vec<(String, String)>> {
    let mut facts = Vec::new();
    if plan.platform.machine().is_some() {
        facts = Machine::find(env, home, spawner, *accelerator).await?.facts();
    }
    let mut add = |name: &str, value: String| facts.push((name.into(), value));
    add("guest processors", plan.resources.cpus.to_string());
    add("guest memory", format!("{} MiB", plan.resources.memory_mib));
    let uses = |option| {
        selection.shares.iter().any(|share| share.cache.is_some_and(|cache| cache.virtiofs == option))
    };
    if uses(VirtiofsOption::Spawned) {
        let service = Service { uid: Host::probe().uid, access: Access::ReadWrite };
        add("virtiofsd", virtiofsd::find(env, home, spawner, service).await?.virtiofsd.kind.to_string());
    }
    for (name, value) in &record.facts {
        let name = if name == "files" { "files of the source tree" } else { name };
        add(name, value.clone());
    }
    Ok(facts)
}
