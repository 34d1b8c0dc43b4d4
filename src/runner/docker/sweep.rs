//! What runs left that were killed: containers that were made and not started, volumes.
//!
//! Everything bears a label with its run's directory. That is locked for as long as the run lives; a directory that is gone or not locked belongs to
//! a dead run. One that this user may not look at is somebody else's, and left alone.

use std::{collections::BTreeSet, path::Path};

use anyhow::Result;

use super::{
    api::{Api, Kind, Labelled},
    argv::RUN_LABEL,
};
use crate::rundir;

/// Removes it; says how much there was. Not all of it need be gone: what belongs to a container that dockerd is just removing
/// is used until that is done.
pub(super) async fn sweep(api: &Api) -> Result<usize> {
    let (containers, volumes) =
        tokio::try_join!(api.labelled(Kind::Container, RUN_LABEL), api.labelled(Kind::Volume, RUN_LABEL))?;
    let mut found = 0;
    // First what uses them.
    for (kind, things) in [(Kind::Container, containers), (Kind::Volume, volumes)] {
        for id in abandoned(&things) {
            let removal = api.remove(kind, id).await?;
            tracing::debug!(id, ?removal, "of a dead run");
            found += 1;
        }
    }
    Ok(found)
}

/// Those whose run is dead.
fn abandoned(things: &[Labelled]) -> Vec<&str> {
    let runs: BTreeSet<&Path> = things.iter().map(|thing| Path::new(&thing.label)).collect();
    let dead: BTreeSet<&Path> = runs.into_iter().filter(|run| rundir::is_dead(run)).collect();
    let of_dead = things.iter().filter(|thing| dead.contains(Path::new(&thing.label)));
    of_dead.map(|thing| thing.id.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_belongs_to_dead_runs_is_abandoned() {
        let work = tempfile::tempdir().expect("a directory");
        let living = work.path().join("living");
        std::fs::create_dir(&living).expect("made");
        let lock = std::fs::File::create(living.join("lock")).expect("made");
        let _held =
            nix::fcntl::Flock::lock(lock, nix::fcntl::FlockArg::LockExclusiveNonblock).expect("locked");
        let thing = |id: &str, run: &str| Labelled { id: id.into(), label: run.into() };
        let gone = work.path().join("gone").display().to_string();
        let things = [thing("one", &living.display().to_string()), thing("two", &gone), thing("three", "")];
        assert_eq!(abandoned(&things), ["two"]);
    }
}
