//! The file systems that steps work in: each share with each policy, and those that shares are compared with.

use std::process::Command;

use crate::{sampling::named, skip::skip};

/// The cache and the source, as steps see them.
const CACHE: &str = "/var/cache/melange";
const WORKSPACE: &str = "/home/build";

/// Where a test does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Share {
    /// The cache by 9p, read-only, below an overlay on the guest's own disk.
    NinePOverlay,
    /// The cache by 9p, written straight into.
    NineP,
    /// The cache by a virtiofsd of the host that other builds may use as well.
    SpawnedShared,
    /// The same, by a build that has it alone: the guest keeps names, attributes and writes.
    SpawnedAlone,
    /// The cache by kiln's own device, with the policies of [`Share::SpawnedShared`] and [`Share::SpawnedAlone`].
    EmbeddedShared,
    /// See [`Share::EmbeddedShared`].
    EmbeddedAlone,
    /// The source: the guest's own disk, with an overlay for what the host has.
    Workspace,
    /// The cache bound into a container.
    Docker,
    /// The cache bound into a sandbox.
    Bubblewrap,
}

/// Those by virtiofs.
pub(super) const VIRTIOFS: &[Share] =
    &[Share::SpawnedShared, Share::SpawnedAlone, Share::EmbeddedShared, Share::EmbeddedAlone];

impl Share {
    /// All of them.
    pub(super) const ALL: [Self; 9] = [
        Self::NinePOverlay,
        Self::NineP,
        Self::SpawnedShared,
        Self::SpawnedAlone,
        Self::EmbeddedShared,
        Self::EmbeddedAlone,
        Self::Workspace,
        Self::Docker,
        Self::Bubblewrap,
    ];

    /// The daemon that serves the same policy, where this is kiln's own device.
    pub(super) fn spawned(self) -> Option<Self> {
        match self {
            Self::EmbeddedShared => Some(Self::SpawnedShared),
            Self::EmbeddedAlone => Some(Self::SpawnedAlone),
            Self::NinePOverlay
            | Self::NineP
            | Self::SpawnedShared
            | Self::SpawnedAlone
            | Self::Workspace
            | Self::Docker
            | Self::Bubblewrap => None,
        }
    }

    /// The directory, as steps see it.
    pub(super) fn directory(self) -> &'static str {
        if self == Self::Workspace { WORKSPACE } else { CACHE }
    }

    /// The same directory on the host: where a test puts files that are there before the build.
    pub(super) fn on_the_host(self) -> &'static str {
        if self == Self::Workspace { "source" } else { "cache" }
    }

    /// Adds to a `kiln build` what chooses it.
    pub(super) fn choose(self, command: &mut Command) {
        command.env_remove("KILN_VIRTIOFSD").env_remove("QEMU_USE_VIRTIOFS");
        let arguments: &[&str] = match self {
            Self::NinePOverlay | Self::Workspace => &["--cache-mode", "discard"],
            Self::NineP => &["--cache-mode", "rw"],
            Self::SpawnedShared => &["--virtiofsd", "spawned", "--cache-sharing", "shared"],
            Self::SpawnedAlone => &["--virtiofsd", "spawned", "--cache-sharing", "locked"],
            Self::EmbeddedShared => &["--virtiofsd", "embedded", "--cache-sharing", "shared"],
            Self::EmbeddedAlone => &["--virtiofsd", "embedded", "--cache-sharing", "locked"],
            Self::Docker => &["--runner", "docker"],
            Self::Bubblewrap => &["--runner", "bubblewrap"],
        };
        command.args(arguments);
        if self == Self::NineP {
            // Without it a cache that is written straight into comes by virtiofs.
            command.env("QEMU_USE_VIRTIOFS", "0");
        }
        if !matches!(self, Self::Docker | Self::Bubblewrap) {
            command.args(["--runner", "qemu", "--accel", "tcg", "--memory", "1Gi", "--cpu", "1"]);
        }
    }

    /// The program that this host lacks for it.
    fn lacks(self) -> Option<&'static str> {
        let answers = |program: &str, argument: &str| {
            Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success())
        };
        match self {
            Self::Docker => (!answers("docker", "info")).then_some("no dockerd answers"),
            Self::Bubblewrap => (!answers("bwrap", "--version")).then_some("bubblewrap is not installed"),
            Self::NinePOverlay
            | Self::NineP
            | Self::SpawnedShared
            | Self::SpawnedAlone
            | Self::EmbeddedShared
            | Self::EmbeddedAlone
            | Self::Workspace => {
                (!answers("qemu-system-x86_64", "--version")).then_some("QEMU is not installed")
            }
        }
    }
}

/// Those that this host has; `KILN_SHARES=NineP,Workspace` names some of them.
pub(super) fn usable() -> Vec<Share> {
    let mut shares = named("KILN_SHARES", Share::ALL.to_vec(), |share| format!("{share:?}"));
    shares.retain(|share| {
        let lacks = share.lacks();
        if let Some(why) = lacks {
            skip(&format!("{share:?}: {why}"));
        }
        lacks.is_none()
    });
    shares
}
