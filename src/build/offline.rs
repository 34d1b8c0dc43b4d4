//! Checks, before a build without a network starts, that the cache has its sources.

use crate::{
    compile::Recipe,
    exit::Failure,
    plan::{BuildOptions, Network},
    sources,
};

/// Refuses a build without a network if sources are missing.
///
/// # Errors
/// A [`Failure`] that lists all missing sources (4).
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
        "fill it with kiln update-cache, or with a build that has a network and keeps its cache",
    ))
}
