//! The control groups of one run. They are made before the sandbox, contain all of its processes, and are removed after it.

use std::{
    fs::{self, DirBuilder, File},
    io::{ErrorKind, Write},
    os::{fd::OwnedFd, unix::fs::symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use kiln_protocol::MemoryEvents;

use crate::{
    plan::Cgroup,
    process::{self, RemovalAtEnd, Spawner},
    rundir::CGROUP_LINK,
};

/// The groups. If they are dropped, the reaper removes them.
pub struct Groups {
    paths: Vec<(PathBuf, RemovalAtEnd)>,
}

impl Groups {
    /// Makes the groups, and links to them in the run's directory: the next start of kiln removes groups that are left.
    ///
    /// # Errors
    /// When a group cannot be made, or a limit cannot be set.
    pub fn make(groups: &[Cgroup], run_dir: &Path, spawner: &Spawner) -> Result<Self> {
        let run = run_dir.file_name().context("a run's directory has a name")?.to_string_lossy();
        let mut paths = Vec::new();
        for (at, Cgroup { parent, files }) in groups.iter().enumerate() {
            let path = parent.join(format!("kiln-{run}"));
            // The link and the reaper's record come before the group.
            symlink(&path, run_dir.join(format!("{CGROUP_LINK}-{at}")))
                .context("write down a control group")?;
            paths.push((path.clone(), spawner.remove_at_end(&path)));
            let context = || format!("make the control group {}", path.display());
            DirBuilder::new().create(&path).with_context(context)?;
            files.iter().try_for_each(|(name, value)| write(&path.join(name), value))?;
        }
        Ok(Self { paths })
    }

    /// The files to which a process with one thread writes to move itself into the groups.
    pub(super) fn procs_files(&self) -> Result<Vec<OwnedFd>> {
        let procs_file = |(path, _): &(PathBuf, RemovalAtEnd)| {
            // Version 1 can move a single thread. To move a process, the kernel waits until no process of the machine forks or
            // exits (10 ms and more).
            let name = if path.join("tasks").exists() { "tasks" } else { "cgroup.procs" };
            let path = path.join(name);
            let file = File::options().write(true).open(&path);
            Ok(file.with_context(|| format!("open {}", path.display()))?.into())
        };
        self.paths.iter().map(procs_file).collect()
    }

    /// The memory counters of the groups.
    pub(super) fn memory(&self) -> Memory {
        Memory(self.paths.iter().map(|(path, _)| path.clone()).collect())
    }

    /// Kills the remaining processes of the groups, and removes the groups.
    pub(super) fn remove(&mut self) -> Result<()> {
        for (path, removal) in self.paths.drain(..) {
            process::remove(&path).with_context(|| format!("remove {}", path.display()))?;
            removal.forget(&path);
        }
        Ok(())
    }
}

/// The memory counters of some groups, one of which may limit memory.
pub(super) struct Memory(Vec<PathBuf>);

impl Memory {
    /// The kernel's counts of memory shortage; `None` if no group limits memory.
    pub(super) fn read(&self) -> Option<MemoryEvents> {
        let events =
            |group: &PathBuf| MemoryEvents::of_group(|name| fs::read_to_string(group.join(name)).ok());
        self.0.iter().find_map(events)
    }
}

fn write(path: &Path, value: &str) -> Result<()> {
    let result =
        fs::OpenOptions::new().write(true).open(path).and_then(|mut f| f.write_all(value.as_bytes()));
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.with_context(|| format!("write {value} to {}", path.display())),
    }
}
