//! docker's command line as a pure function of the plan: one switch and its value a line. [`mounts`](super::mounts) makes the
//! values of `--mount`.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use super::mounts;
use crate::{
    plan::{Bind, BindSource, DEFAULT_CAPABILITIES, HOSTNAME, Network, Plan},
    process::MARKER_VARIABLE,
};

/// The label of all objects of a run. Its value is the run's directory, which is locked until the run ends.
pub(super) const RUN_LABEL: &str = "kiln.run";

/// The input of the command line besides the plan.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// The command.
    pub docker: &'a Path,
    /// dockerd's own directory.
    pub root: &'a Path,
    /// The image's id.
    pub image: &'a str,
    /// The agent's program.
    pub agent: &'a Path,
    /// The run's directory. Container and volumes have its name.
    pub run_dir: &'a Path,
    /// Paths in /proc of directories that kiln has opened, by the number of their bind. dockerd mounts them instead of the bind's
    /// path.
    pub fd_paths: &'a BTreeMap<usize, PathBuf>,
}

impl Files<'_> {
    /// The name of the container, and the prefix of the names of its volumes.
    pub(super) fn name(&self) -> String {
        format!("kiln-{}", self.run_dir.file_name().unwrap_or_default().to_string_lossy())
    }

    /// The directory in which dockerd keeps the content of a volume.
    pub(super) fn volume_directory(&self, name: &str) -> PathBuf {
        self.root.join("volumes").join(name).join("_data")
    }

    /// The layer above the directory of the bind with this number.
    pub(super) fn layer(&self, at: usize) -> PathBuf {
        self.run_dir.join(format!("layer-{at}"))
    }

    pub(super) fn label(&self) -> OsString {
        let mut label = OsString::from(format!("{RUN_LABEL}="));
        label.push(self.run_dir);
        label
    }
}

/// The binds of a plan for docker, numbered.
pub(super) fn binds(plan: &Plan) -> impl Iterator<Item = (usize, &Bind)> {
    plan.platform.binds().iter().enumerate()
}

/// The whole command line, program first.
pub fn argv(plan: &Plan, files: Files<'_>) -> Vec<OsString> {
    let mut line = Line(vec![files.docker.into(), "run".into()]);
    line.opt("--name", files.name());
    line.opt("--label", files.label());
    // dockerd removes the container and its anonymous volumes when it has ended, even if kiln was killed.
    line.flag("--rm");
    line.flag("--interactive");
    // The image was imported by kiln: docker must not pull one.
    line.opt("--pull", "never");
    // Without this dockerd would write every frame of the protocol to a log on its disk.
    line.opt("--log-driver", "none");
    line.opt("--hostname", HOSTNAME);
    line.opt(
        "--network",
        match plan.network {
            Network::On => "bridge",
            Network::Off => "none",
        },
    );
    limits(&mut line, plan);
    for number in
        plan.guest_config.capabilities.iter().flatten().filter(|&n| !DEFAULT_CAPABILITIES.contains(n))
    {
        // The agent drops capabilities that steps may not have. It needs the default set itself.
        line.opt("--cap-add", crate::plan::capability_name(*number));
    }
    // A tmpfs, as in a microVM.
    line.opt("--tmpfs", "/run:rw,nosuid,nodev,exec,mode=755");
    for (_, Bind { target, .. }) in binds(plan).filter(|(_, bind)| bind.source == BindSource::Scratch) {
        // A tmpfs: a volume would delay the start by some milliseconds, and the files are small.
        line.opt("--tmpfs", format!("{target}:rw,suid,nodev,exec,mode=755"));
    }
    for mount in binds(plan).flat_map(|(at, bind)| mounts::of(files, at, bind)) {
        line.opt("--mount", mount);
    }
    // The value is that of kiln's environment. The reaper finds the agent by it; the agent does not pass it to steps.
    line.opt("--env", MARKER_VARIABLE);
    line.opt("--user", "0:0");
    line.opt("--workdir", "/");
    line.opt("--entrypoint", agent_target(plan));
    line.0.push(files.image.into());
    line.flag("--stdio");
    line.0
}

fn limits(line: &mut Line, plan: &Plan) {
    let memory_mib = plan.resources.memory_mib;
    line.opt("--cpus", plan.resources.cpus.to_string());
    line.opt("--memory", format!("{memory_mib}m"));
    // The limit of memory and swap: no swap, as in a microVM.
    line.opt("--memory-swap", format!("{memory_mib}m"));
    // The kernel's default for a tmpfs is half of the memory, docker's is 64 MiB.
    line.opt("--shm-size", format!("{}m", memory_mib / 2));
}

fn agent_target(plan: &Plan) -> &str {
    let agent = binds(plan).find(|(_, bind)| bind.source == BindSource::Agent);
    agent.map_or("", |(_, bind)| bind.target.as_str())
}

struct Line(Vec<OsString>);

impl Line {
    fn flag(&mut self, switch: &str) {
        self.0.push(switch.into());
    }

    fn opt(&mut self, switch: &str, value: impl AsRef<OsStr>) {
        self.0.push(switch.into());
        self.0.push(value.as_ref().into());
    }
}
