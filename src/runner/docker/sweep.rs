//! What runs left that were killed: containers that were made and not started, volumes.
//!
//! Everything bears a label with its run's directory. That is locked for as long as the run lives; a directory that is gone or not locked belongs to
//! a dead run. One that this user may not look at is somebody else's, and left alone.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{
    argv::RUN_LABEL,
    cli::{Asked, Cli},
};
use crate::rundir;

/// The lists of all that belongs to runs, asked for while a container starts: nobody waits for them until it has ended.
#[derive(Debug)]
pub(super) struct Sweep {
    containers: Asked,
    volumes: Asked,
}

impl Sweep {
    /// Asks for the lists.
    pub(super) fn begin(cli: &Cli<'_>) -> Result<Self> {
        let label = format!("label={RUN_LABEL}");
        let format = |name: &str| format!("{{{{.{name}}}}}\t{{{{.Label {RUN_LABEL:?}}}}}");
        let (of_containers, of_volumes) = (format("ID"), format("Name"));
        Ok(Self {
            containers: cli.begin(&[
                "ps",
                "--all",
                "--no-trunc",
                "--filter",
                &label,
                "--format",
                &of_containers,
            ])?,
            volumes: cli.begin(&["volume", "ls", "--filter", &label, "--format", &of_volumes])?,
        })
    }

    /// Removes what dead runs have left; says how much it was.
    pub(super) async fn finish(self, cli: &Cli<'_>) -> Result<usize> {
        let Self { containers, volumes } = self;
        let (containers, volumes) = tokio::try_join!(containers.answer(), volumes.answer())?;
        let (containers, volumes) = (abandoned(&containers), abandoned(&volumes));
        // First what uses them.
        cli.remove(&["rm", "--force", "--volumes"], &containers).await?;
        if let Err(error) = cli.remove(&["volume", "rm"], &volumes).await {
            // A container that dockerd is just removing still has it: the next build's sweep finds it.
            tracing::debug!(error = %format!("{error:#}"), "a volume stays");
        }
        Ok(containers.len() + volumes.len())
    }
}

/// The names in a list of `name TAB run directory` whose run is dead.
fn abandoned(list: &str) -> Vec<String> {
    let pairs: Vec<(&str, PathBuf)> =
        list.lines().filter_map(|line| line.split_once('\t')).map(|(name, run)| (name, run.into())).collect();
    let runs: BTreeSet<&Path> = pairs.iter().map(|(_, run)| run.as_path()).collect();
    let dead: BTreeSet<&Path> = runs.into_iter().filter(|run| rundir::is_dead(run)).collect();
    pairs.iter().filter(|(_, run)| dead.contains(run.as_path())).map(|(name, _)| (*name).to_owned()).collect()
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
        let list =
            format!("one\t{}\ntwo\t{}\nthree\t\n", living.display(), work.path().join("gone").display());
        assert_eq!(abandoned(&list), ["two"]);
    }
}
