//! The backends, and how they differ for a plan: one row each.

use clap::ValueEnum;
use serde::Serialize;

use super::Bytes;

/// A backend: `--runner`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum RunnerKind {
    /// A microVM.
    Qemu,
    /// A container of the docker daemon.
    Docker,
    /// A sandbox of this host's kernel, made by bwrap.
    Bubblewrap,
}

/// The differences between backends that code outside of them needs.
#[derive(Debug, PartialEq, Eq)]
pub struct RunnerTraits {
    /// As the command line spells it.
    pub name: &'static str,
    /// Whether its guests have a kernel of their own: then a clock and a random pool are set, a disk and a processor model
    /// can be chosen, directories arrive as shares, and a capability is no right over the host.
    pub own_kernel: bool,
    /// Whether a guest's loopback is the host's.
    pub host_loopback: bool,
    /// The least memory with which the agent and a step run.
    pub min_memory: Bytes,
    /// Where files of a step are written, for guests without a disk of their own.
    pub scratch: &'static str,
    /// The risk of a capability beyond docker's default set for the host.
    pub capability_risk: &'static str,
    /// The way out if the host's file system with a guest's files is full.
    pub make_room: &'static str,
    /// The way out if a guest is not ready in time.
    pub slow_boot: &'static str,
}

/// With less than 128 MiB Debian's kernel 6.1 panics before it starts the agent.
const QEMU: RunnerTraits = RunnerTraits {
    name: "qemu",
    own_kernel: true,
    host_loopback: false,
    min_memory: Bytes(128 << 20),
    scratch: "a microVM writes to its scratch disk",
    capability_risk: "a microVM needs no grant",
    make_room: SCRATCH_ROOM,
    slow_boot: "raise --boot-timeout, or try --accel tcg",
};

/// docker refuses less than 6 MiB, and the agent needs 2.
const DOCKER: RunnerTraits = RunnerTraits {
    name: "docker",
    own_kernel: false,
    host_loopback: false,
    min_memory: Bytes(16 << 20),
    scratch: "a container writes to dockerd's storage",
    capability_risk: "in a container it is a right over this host",
    make_room: "make room there: `docker system df` shows what docker keeps",
    slow_boot: "raise --boot-timeout",
};

const BUBBLEWRAP: RunnerTraits = RunnerTraits {
    name: "bubblewrap",
    own_kernel: false,
    host_loopback: true,
    min_memory: Bytes(16 << 20),
    scratch: "a sandbox writes to the directory for scratch files",
    capability_risk: "in a sandbox it opens more of this host's kernel",
    make_room: SCRATCH_ROOM,
    slow_boot: "raise --boot-timeout",
};

const SCRATCH_ROOM: &str = "make room there, or name a directory of a larger one with QEMU_DISKS_PATH";

impl RunnerKind {
    /// The row of this backend.
    pub fn traits(self) -> &'static RunnerTraits {
        match self {
            Self::Qemu => &QEMU,
            Self::Docker => &DOCKER,
            Self::Bubblewrap => &BUBBLEWRAP,
        }
    }

    /// As the command line spells it.
    pub fn name(self) -> &'static str {
        self.traits().name
    }
}
