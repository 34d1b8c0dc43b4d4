//! Which of the shares this host can have.

use std::path::Path;

use anyhow::Result;

use super::{
    guest::{Directories, Guests},
    variants::{Share, chosen, shares},
};
use crate::plan::{Network, RequestQueues};

/// The shares that are compared, and a line for each that is left out.
pub(crate) struct Available {
    /// In the order of the table.
    pub(crate) shares: Vec<Share>,
    /// What is left out, and why.
    pub(crate) left_out: Vec<String>,
}

/// The shares that `names` chooses, or all that this host can have. `directory` exists.
///
/// # Errors
/// For a name that is none, and for a share that is named and cannot be had here; without any name, if nothing can be compared.
pub(crate) async fn available(guests: &Guests<'_>, names: &[String], directory: &Path) -> Result<Available> {
    let directories = Directories { tools: directory, cache: directory, network: Network::Off };
    let queues = most_queues(guests, directories).await;
    let (mut found, mut left_out, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for share in chosen(shares(queues), names)? {
        match guests.plan(&share, directories).await {
            Ok(_) => found.push(share),
            Err(error) if names.is_empty() => {
                left_out.push(format!("{} is left out: {error:#}", share.title));
                errors.push(error);
            }
            Err(error) => return Err(error.context(format!("--shares {}", share.id))),
        }
    }
    match errors.pop() {
        Some(error) if found.is_empty() => Err(error),
        Some(_) | None => Ok(Available { shares: found, left_out }),
    }
}

/// How many queues the embedded device has by default, which is also the most that the guest's kernel uses. Where there is no such
/// guest, its own share says why.
async fn most_queues(guests: &Guests<'_>, directories: Directories<'_>) -> u32 {
    let embedded = shares(1).into_iter().find(|share| share.request_queues.is_some());
    let Some(embedded) = embedded else { return 1 };
    let plan = guests.plan(&Share { request_queues: None, ..embedded }, directories).await;
    let machine = plan.ok().and_then(|plan| plan.platform.machine().cloned());
    machine.and_then(|machine| machine.request_queues).map_or(1, RequestQueues::count)
}
