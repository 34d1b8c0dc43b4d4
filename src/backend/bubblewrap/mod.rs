//! The sandbox: bwrap, with the agent as its first process and the protocol on its stdin and stdout.
//!
//! Before it: the plan, the image (its file, or its tree), the agent's program. After it: `engine`, which sends requests to the
//! agent. Namespaces end with their processes. Only the run's scratch directory and its control groups have names: [`Scratch`] and
//! [`Groups`] remove them, or the reaper if kiln was killed, or the next start of kiln after a power cut.

mod argv;
mod cgroup;
mod cgroup_files;
mod isolation;
mod launch;
pub mod plan;
pub mod probe;
mod sandbox;
mod scratch;
mod seccomp;

use std::path::PathBuf;

use anyhow::{Context, Result};

pub use argv::{Files, argv};
pub use cgroup::Groups;
pub use launch::find;
pub use scratch::Scratch;

use self::sandbox::Sandboxed;
use super::{BoxFuture, Launched, Runner};
use crate::{
    image::Tree,
    plan::Plan,
    process::{Command, Spawner, Stdio, Tail},
};

/// How many of the last lines of bwrap and the agent are kept.
const LAST_LINES: usize = 40;

/// bwrap, and its input besides the plan.
pub struct Bubblewrap<'a> {
    /// Starts it.
    pub spawner: &'a Spawner,
    /// The program.
    pub bwrap: PathBuf,
    /// The agent's program.
    pub agent: PathBuf,
    /// The image's file, or its tree.
    pub root: PathBuf,
    /// Holds the tree while it is used.
    pub tree: Option<Tree>,
    /// The directory to which the build writes.
    pub scratch: Scratch,
    /// The control groups that limit it.
    pub groups: Groups,
    /// How many of its processes the kernel killed for want of memory; known at the end.
    pub ended_for_memory: u64,
    /// Whether its file system was full; known at the end.
    pub scratch_full: bool,
}

impl Bubblewrap<'_> {
    fn start(&self, plan: &Plan) -> Result<Launched> {
        let Self {
            spawner,
            bwrap,
            agent,
            root,
            tree: _,
            scratch,
            groups,
            ended_for_memory: _,
            scratch_full: _,
        } = self;
        let line = argv(plan, Files { bwrap, agent, root, scratch: scratch.path() });
        let (program, arguments) = line.split_first().context("the plan is not one for a sandbox")?;
        let command = Command::new(program).args(arguments).clear_env();
        let command = command.stdin(Stdio::Piped).stdout(Stdio::Piped).stderr(Stdio::Piped);
        let command = command.cgroups(groups.procs_files()?);
        let mut bwrap = spawner.spawn(command)?;
        let writer = bwrap.take_stdin().context("bwrap's stdin was piped above")?;
        let reader = bwrap.take_stdout().context("bwrap's stdout was piped above")?;
        let stderr = bwrap.take_stderr().context("bwrap's stderr was piped above")?;
        let stderr = Tail::follow(LAST_LINES, stderr, None);
        let machine = Box::new(Sandboxed::new(bwrap, stderr, groups.memory(), scratch.path().to_owned()));
        Ok(Launched { reader: Box::pin(reader), writer: Box::pin(writer), machine })
    }
}

impl Runner for Bubblewrap<'_> {
    fn launch<'a>(&'a mut self, plan: &'a Plan) -> BoxFuture<'a, Result<Launched>> {
        Box::pin(async move { self.start(plan) })
    }

    fn clean(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.ended_for_memory = self.groups.memory().read().map_or(0, |events| events.oom_kills);
            self.scratch_full = self.scratch.is_full();
            self.groups.remove().and(self.scratch.remove())
        })
    }

    fn shortages(&self) -> Vec<String> {
        let memory = format!(
            "the memory limit of this build was reached, and the kernel killed {} of its processes: \
             package.resources.memory, or --memory, gives it more",
            self.ended_for_memory
        );
        let scratch = format!(
            "no space was left on the file system of {}, where the build wrote: make room there, or name a directory of a \
             larger one with QEMU_DISKS_PATH",
            self.scratch.path().display()
        );
        let shortages = [(self.ended_for_memory > 0, memory), (self.scratch_full, scratch)];
        shortages.into_iter().filter(|(holds, _)| *holds).map(|(_, remark)| remark).collect()
    }
}
