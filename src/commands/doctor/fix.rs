//! `kiln doctor --fix`: sets up the missing parts that `images/setup.sh` knows. The binary carries this script.
//!
//! The examination runs before it and once more after it. A gap that the script cannot close (a docker daemon, rights, space) keeps
//! its remedy.

use std::{collections::BTreeSet, io, os::fd::AsFd};

use anyhow::{Context, Result};

use super::{Finding, State, backends::KERNEL_BACKPORTS};
use crate::{
    exit::Failure,
    process::{Command, ExitStatus, Spawner, Stdio},
};

/// The script. It prints its actions, asks no questions, and skips parts that are there.
const SETUP: &str = include_str!("../../../images/setup.sh");

/// The parts of the script that close the gaps among the findings, in the order of their dependencies.
pub(super) fn parts(findings: &[Finding]) -> Vec<&'static str> {
    let part = |finding: &Finding| match (finding.state, finding.name) {
        (State::Ok, _) => None,
        (_, "qemu" | "mkfs.erofs" | "mmdebstrap" | "bwrap" | "curl" | "git" | "newuidmap" | "fakeroot") => {
            Some((0, "tools"))
        }
        (_, "kernel") => Some((1, "kernel")),
        (_, "virtiofsd") => Some((2, "virtiofsd")),
        // Not where the environment names the kernel: another one in the store would not be used.
        (_, "virtiofs queues") if finding.mend.as_deref() == Some(KERNEL_BACKPORTS) => {
            Some((3, "kernel-backports"))
        }
        _ => None,
    };
    let parts: BTreeSet<(u8, &str)> = findings.iter().filter_map(part).collect();
    parts.into_iter().map(|(_, part)| part).collect()
}

/// Runs these parts of the script, which prints its actions to stderr.
///
/// # Errors
/// A host failure (4) when the script fails.
pub(super) async fn set_up(spawner: &Spawner, parts: &[&str]) -> Result<()> {
    let told = io::stderr().as_fd().try_clone_to_owned().context("copy the descriptor of stderr")?;
    let script = Command::new("bash").args(["-c", SETUP, "setup"]).args(parts);
    let mut setup = spawner.spawn(script.stdout(Stdio::File(told)).stderr(Stdio::Inherit))?;
    match setup.wait().await? {
        ExitStatus::Code(0) => Ok(()),
        status => Err(Failure::host(
            format!("setting up {} failed ({status})", parts.join(", ")),
            "correct what is said above, and start kiln doctor --fix again: it goes on where it stopped",
        )
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{commands::doctor::backends::queues, env::Env, image::IMAGE_VARIABLE};

    #[test]
    fn each_gap_that_can_be_set_up_has_its_part_and_each_part_is_named_once() {
        let gap = |name| Finding::gap(name, State::Warning, "", "");
        let findings = [gap("virtiofsd"), gap("docker"), gap("git"), gap("kernel"), gap("qemu"), gap("kvm")];
        assert_eq!(parts(&findings), ["tools", "kernel", "virtiofsd"]);
        assert_eq!(parts(&[Finding::ok("qemu", ""), gap("scratch files")]), [""; 0]);
    }

    #[test]
    fn a_newer_kernel_is_set_up_where_builds_would_use_it() {
        let named: Env = [(IMAGE_VARIABLE, "/boot/vmlinuz")].into_iter().collect();
        for (version, env, expected) in [
            ("6.1.0-57-amd64", Env::default(), &["kernel-backports"][..]),
            ("6.1.0-57-amd64", named, &[]),
            ("6.12.95+deb12-amd64", Env::default(), &[]),
        ] {
            assert_eq!(parts(&[queues(version, &env)]), expected, "{version}");
        }
    }

    #[test]
    fn the_script_has_every_part() {
        for part in ["tools", "kernel", "virtiofsd", "kernel-backports"] {
            assert!(SETUP.contains(&format!("\n{part}() {{\n")), "{part}");
        }
    }
}
