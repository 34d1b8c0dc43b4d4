//! The command lines that a build of this plan starts, as data: what exists only once a build runs has a name in brackets.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::{
    backend::{
        bubblewrap, docker,
        qemu::{self, Files},
    },
    build::{Backend, Parts, Resolved, agent_path, initramfs_path, served},
    commands::again,
    home::Home,
    plan::{Machine, Plan, Platform},
    share,
};

/// Stands for the image where it is not made yet.
const NOT_MADE: &str = "(made at the first build)";
/// Stands for the scratch directory, whose name each run chooses.
const SCRATCH: &str = "(a scratch directory of this run)";

/// All of them, each with its program first.
pub(super) fn command_lines(home: &Home, resolved: &Resolved) -> Result<Vec<Vec<OsString>>> {
    let Resolved { plan, store, backend } = resolved;
    let root = store.find(&plan.image)?.map_or_else(|| PathBuf::from(NOT_MADE), |image| image.path);
    Ok(match (backend, &plan.platform) {
        (Backend::Qemu(parts), Platform::Qemu(machine)) => microvm(home, plan, machine, parts, &root)?,
        (Backend::Docker(found), Platform::Docker(_)) => vec![container(home, plan, found)],
        (Backend::Bubblewrap(found), Platform::Bubblewrap(_)) => vec![sandbox(home, plan, found, &root)],
        // Prepared for one runner, planned for another: resolve() does not make that.
        (Backend::Qemu(_) | Backend::Docker(_) | Backend::Bubblewrap(_), _) => Vec::new(),
    })
}

fn sandbox(home: &Home, plan: &Plan, found: &bubblewrap::probe::Bubblewrap, root: &Path) -> Vec<OsString> {
    let agent = agent_path(home);
    let (bwrap, scratch) = (found.path.as_path(), Path::new(SCRATCH));
    bubblewrap::argv(plan, bubblewrap::Files { bwrap, agent: &agent, root, scratch })
}

/// The image's id and the run's directory are known at its start only.
fn container(home: &Home, plan: &Plan, found: &docker::probe::Docker) -> Vec<OsString> {
    let (agent, run_dir) = (agent_path(home), home.root().join("run/RUN"));
    let (docker, root, image) = (found.path.as_path(), found.root.as_path(), "IMAGE");
    let (agent, run_dir, opened) = (agent.as_path(), run_dir.as_path(), &BTreeMap::new());
    docker::argv(plan, docker::Files { docker, root, image, agent, run_dir, opened })
}

fn microvm(
    home: &Home,
    plan: &Plan,
    machine: &Machine,
    parts: &Parts,
    root: &Path,
) -> Result<Vec<Vec<OsString>>> {
    let Parts { qemu, kernel, virtiofsd, accelerator: _ } = parts;
    let initramfs = initramfs_path(home, kernel)?;
    let files = Files { qemu: &qemu.path, vmlinux: &kernel.vmlinux, initramfs: &initramfs, root };
    let mut lines = vec![qemu::argv(plan, machine, files)];
    if let (Some(daemon), Some((directory, owner))) = (virtiofsd, served(plan)) {
        let arguments = share::arguments::arguments(daemon, &directory, owner, share::spawned::sandbox()?)?;
        lines.push(std::iter::once(daemon.path.clone().into()).chain(arguments).collect());
    }
    Ok(lines)
}

/// For a shell: a switch and its value on each line.
pub(super) fn text(argv: &[OsString]) -> String {
    let mut text = String::new();
    for (at, word) in argv.iter().enumerate() {
        let word = Path::new(word).display().to_string();
        let separator = match (at, word.starts_with('-')) {
            (0, _) => "",
            (_, true) => " \\\n  ",
            (_, false) => " ",
        };
        text += &format!("{separator}{}", again::quoted(&word));
    }
    text + "\n"
}
