//! A build without a network, before anything is started: the sources that it would look for in vain.

use crate::{
    compile::Recipe,
    exit::Failure,
    plan::{BuildOptions, Network},
    sources,
};

/// Refuses a build that has no network and not all of its sources.
///
/// # Errors
/// A [`Failure`] that lists all of them (4).
pub(super) fn check(recipe: &Recipe, options: &BuildOptions) -> Result<(), Failure> {
    if options.network == Network::On {
        return Ok(());
    }
    let wanted = sources::of(recipe);
    let missing = sources::missing(&wanted, options.cache_dir.as_deref(), options.source.as_deref());
    if missing.is_empty() {
        return Ok(());
    }
    let list: String = missing.iter().map(|line| format!("\n  {line}")).collect();
    let what = format!("--network off, and the cache does not have {} of the sources:{list}", missing.len());
    Err(Failure::host(
        what,
        "fill it with kiln update-cache, or by a build that has the network and keeps its cache",
    ))
}
