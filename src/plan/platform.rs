//! The part of a plan that only one backend reads, as data. Each backend decides its own.

use std::path::PathBuf;

use serde::Serialize;

use super::{Accelerator, Bind, HostLoopback, LimitSource, RunnerKind, Slirp, SourceShare, StartOption};

/// The backend of a build, with its part of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// A microVM.
    Qemu(Machine),
    /// A container, and its files of the host.
    Docker(Vec<Bind>),
    /// A sandbox.
    Bubblewrap(Sandbox),
}

impl Platform {
    /// The backend.
    pub fn runner(&self) -> RunnerKind {
        match self {
            Self::Qemu(_) => RunnerKind::Qemu,
            Self::Docker(_) => RunnerKind::Docker,
            Self::Bubblewrap(_) => RunnerKind::Bubblewrap,
        }
    }

    /// The machine of a microVM; `None` for guests on the host's kernel.
    pub fn machine(&self) -> Option<&Machine> {
        match self {
            Self::Qemu(machine) => Some(machine),
            Self::Docker(_) | Self::Bubblewrap(_) => None,
        }
    }

    /// The sandbox; `None` for other guests.
    pub fn sandbox(&self) -> Option<&Sandbox> {
        match self {
            Self::Bubblewrap(sandbox) => Some(sandbox),
            Self::Qemu(_) | Self::Docker(_) => None,
        }
    }

    /// The directories and files of the host that the guest has; none in a microVM, which has devices.
    pub fn binds(&self) -> &[Bind] {
        match self {
            Self::Qemu(_) => &[],
            Self::Docker(binds) | Self::Bubblewrap(Sandbox { binds, .. }) => binds,
        }
    }

    /// Whether root is the only user of the guest.
    pub fn has_one_user(&self) -> bool {
        self.sandbox().is_some_and(|sandbox| sandbox.ids == Ids::SingleUid)
    }
}

/// The machine, and limits that other backends do not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// `kvm` or `tcg`.
    pub accelerator: Accelerator,
    /// Whether it boots, or is restored from a template.
    pub start: StartOption,
    /// QEMU's name for the processors' model; `None` for the accelerator's best.
    pub cpu_model: Option<String>,
    /// The frequency of the guest's time stamp counter under TCG, if known.
    pub tsc_khz: Option<u32>,
    /// The scratch disk's size in bytes; it is sparse.
    pub disk_bytes: u64,
    /// The source of the size.
    pub disk_from: LimitSource,
    /// QEMU's user network, which a guest with a network has.
    pub slirp: Slirp,
    /// Whether the host's loopback is a part of that network.
    pub host_loopback: HostLoopback,
    /// More kernel arguments.
    pub kernel_arguments: String,
    /// How it gets the source; `None` without a source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_share: Option<SourceShare>,
    /// How many queues each of kiln's own virtiofs devices has for requests, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_queues: Option<RequestQueues>,
}

impl Machine {
    /// Whether a process beside QEMU serves the source.
    pub fn source_has_daemon(&self) -> bool {
        match self.source_share {
            Some(SourceShare::Virtiofs) => true,
            Some(SourceShare::NineP) | None => false,
        }
    }
}

/// The request queues of a virtiofs device, and why there are so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestQueues {
    /// One: the guest's kernel would not use others.
    KernelUsesOne,
    /// One for each processor of the guest, up to the device's most.
    ForEachCpu(u32),
    /// The number that was asked for, up to the device's most.
    Requested(u32),
}

impl RequestQueues {
    /// How many.
    pub fn count(self) -> u32 {
        match self {
            Self::KernelUsesOne => 1,
            Self::ForEachCpu(count) | Self::Requested(count) => count,
        }
    }
}

/// A sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sandbox {
    /// Its files and directories of the host.
    pub binds: Vec<Bind>,
    /// Its user ids.
    pub ids: Ids,
    /// The form of the image's root.
    pub root: RootForm,
    /// The control groups that limit it.
    pub groups: Vec<Cgroup>,
}

/// The form of an image's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RootForm {
    /// Its erofs file, which the agent mounts.
    Image,
    /// Its tree, unpacked once.
    Tree,
}

/// The user ids with which a sandbox is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ids {
    /// Made by root of the machine, with a range of ids that no user of the host has.
    Own,
    /// Made by root of the machine, on a file system without idmapped mounts: each user in the sandbox has the id of a user of
    /// the host, without that user's rights.
    Root,
    /// A user namespace with the user's range of `/etc/subuid`.
    Range,
    /// A user namespace with one user: its root is the user that runs kiln.
    SingleUid,
}

/// A control group for one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cgroup {
    /// The parent group's directory.
    pub parent: PathBuf,
    /// Names of its files, and the values that are written to them, in this order. A file that this kernel does not have is
    /// skipped: not all kernels count swap.
    pub files: Vec<(&'static str, String)>,
}
