//! The seven ways to run a build, and which of them this host has.

use std::{path::Path, process::Command};

use crate::sampling::{Sampler, named};

/// A way to run a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// A microVM that boots, its cache by 9p.
    Cold,
    /// A microVM that is restored from a template, as those that follow, its cache by 9p.
    NineP,
    /// A microVM, its cache by virtiofs.
    Virtiofs,
    /// A microVM, its cache by kiln's own device.
    Embedded,
    /// A microVM, its source by kiln's own device, its cache by 9p.
    Source,
    /// A container.
    Docker,
    /// A sandbox.
    Bubblewrap,
}

impl Backend {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Cold,
        Self::NineP,
        Self::Virtiofs,
        Self::Embedded,
        Self::Source,
        Self::Docker,
        Self::Bubblewrap,
    ];

    /// Adds to a `kiln build` what chooses this backend.
    pub(crate) fn choose(self, command: &mut Command) {
        command.env_remove("QEMU_USE_VIRTIOFS").env_remove("KILN_VIRTIOFSD");
        match self {
            Self::Cold | Self::NineP | Self::Virtiofs | Self::Embedded | Self::Source => {
                command.args(["--runner", "qemu", "--accel", "tcg", "--memory", "1Gi", "--cpu", "1"]);
            }
            Self::Docker => {
                command.args(["--runner", "docker"]);
            }
            Self::Bubblewrap => {
                command.args(["--runner", "bubblewrap"]);
            }
        }
        match self {
            // Without it a cache that is written straight into comes by kiln's own device.
            Self::Cold => {
                command.env("QEMU_USE_VIRTIOFS", "0").args(["--start", "cold"]);
            }
            Self::NineP => {
                command.env("QEMU_USE_VIRTIOFS", "0");
            }
            Self::Virtiofs => {
                command.env("QEMU_USE_VIRTIOFS", "1");
            }
            Self::Embedded => {
                command.args(["--virtiofsd", "embedded"]);
            }
            Self::Source => {
                command.env("QEMU_USE_VIRTIOFS", "0").args(["--source-share", "virtiofs"]);
            }
            Self::Docker | Self::Bubblewrap => {}
        }
    }

    /// The program that this host lacks for it.
    fn lacks(self) -> Option<&'static str> {
        let answers = |program: &str, argument: &str| {
            Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success())
        };
        match self {
            Self::Cold | Self::NineP | Self::Virtiofs | Self::Embedded | Self::Source => {
                (!answers("qemu-system-x86_64", "--version")).then_some("QEMU is not installed")
            }
            Self::Docker => (!answers("docker", "info")).then_some("no dockerd answers"),
            Self::Bubblewrap => (!answers("bwrap", "--version")).then_some("bubblewrap is not installed"),
        }
    }
}

/// The backends that this host has; `KILN_BACKENDS=NineP,Docker` names some of them.
pub(crate) fn usable(sampler: &Sampler) -> Vec<Backend> {
    named("KILN_BACKENDS", Backend::ALL.to_vec(), |backend| format!("{backend:?}"))
        .into_iter()
        .filter(|backend| {
            let lacks = backend.lacks();
            if let Some(why) = lacks {
                let required = std::env::var_os("KILN_REQUIRE_ALL").is_some_and(|value| value == "1");
                assert!(!required, "required, but skipped: {backend:?}: {why}");
                sampler.say(&format!("SKIP: {backend:?}: {why}"));
            }
            lacks.is_none()
        })
        .collect()
}

/// The program under test, started by the command `under`, if there is one.
pub(crate) fn kiln(directory: &Path, under: &[String]) -> Command {
    let kiln = env!("CARGO_BIN_EXE_kiln");
    let mut command = match under.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(kiln);
            command
        }
        None => Command::new(kiln),
    };
    command.current_dir(directory).stdin(std::process::Stdio::null());
    command
}
