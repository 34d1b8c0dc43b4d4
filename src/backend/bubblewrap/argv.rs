//! bwrap's command line: data, built by pure code, from the plan's binds.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::plan::{Bind, BindSource, HOSTNAME, Plan, Sandbox, Writes, user_namespace};

/// The paths that are known only at launch.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// bwrap itself.
    pub bwrap: &'a Path,
    /// The agent's program.
    pub agent: &'a Path,
    /// The image's file, or its tree.
    pub root: &'a Path,
    /// The directory of this run.
    pub scratch: &'a Path,
}

/// The whole command line, program first; empty for a plan that is not one for a sandbox.
pub fn argv(plan: &Plan, files: Files<'_>) -> Vec<OsString> {
    let Some(Sandbox { binds, ids, .. }) = plan.platform.sandbox() else { return Vec::new() };
    let mut line: Vec<OsString> =
        user_namespace(*ids, plan.owner.ids()).into_iter().map(OsString::from).collect();
    line.push(files.bwrap.into());
    // bwrap always makes a mount namespace. For `--network off` the agent makes a network namespace in the user namespace of steps
    // (`GuestConfig::user_namespace`): in one of bwrap's the capabilities of steps would have no effect.
    for switch in ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"] {
        line.push(switch.into());
    }
    opt(&mut line, "--hostname", HOSTNAME);
    // The agent reaps orphans, and is killed when kiln dies.
    line.extend(["--as-pid-1", "--die-with-parent", "--clearenv"].map(OsString::from));
    // The agent mounts. Each step drops the capabilities that it may not have.
    opt(&mut line, "--cap-add", "ALL");
    opt(&mut line, "--proc", "/proc");
    line.extend(["--ro-bind", "/sys", "/sys"].map(OsString::from));
    opt(&mut line, "--dev", "/dev");
    for bind in binds {
        let Bind { source, target, writes } = bind;
        let switch = match writes {
            Writes::Through => "--bind",
            // The agent mounts overlays over directories that it only reads.
            Writes::Refused | Writes::ReadOnlyOverlay(_) | Writes::Overlaid(_) => "--ro-bind",
        };
        line.extend([OsString::from(switch), path(source, files).into(), target.into()]);
    }
    line.extend(["--", agent(binds), "--stdio"].map(OsString::from));
    line
}

fn path(source: &BindSource, files: Files<'_>) -> PathBuf {
    match source {
        BindSource::Agent => files.agent.into(),
        BindSource::Root => files.root.into(),
        BindSource::Scratch => files.scratch.into(),
        BindSource::Directory(path) => path.clone(),
        // Only the plans of containers have these.
        BindSource::Below { directory, path } => directory.join(path),
    }
}

/// The path of the agent in the sandbox.
fn agent(binds: &[Bind]) -> &str {
    let agent = binds.iter().find(|bind| bind.source == BindSource::Agent);
    agent.map_or("/", |bind| bind.target.as_str())
}

fn opt(line: &mut Vec<OsString>, switch: &str, value: &str) {
    line.push(switch.into());
    line.push(value.into());
}
