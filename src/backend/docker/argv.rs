//! docker's command line as a pure function of the plan: one switch and its value a line. [`mounts`](super::mounts) makes the
//! values of `--mount`.

use std::ffi::{OsStr, OsString};

use super::{
    files::{Files, binds},
    mounts,
};
use crate::{
    plan::{Bind, BindSource, DEFAULT_CAPABILITIES, HOSTNAME, Network, Plan},
    process::MARKER_VARIABLE,
};

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
