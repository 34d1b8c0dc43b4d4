//! The part of a plan that only one backend reads, as data. The room of each backend decides it.

use std::path::PathBuf;

use serde::Serialize;

use super::{Accelerator, Bind, HostLoopback, LimitSource, RunnerKind, Slirp};

/// In what a build runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// A microVM.
    Qemu(Machine),
    /// A container, and what of the host is in it.
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

/// The kind of the machine, and what is no limit in other backends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// `kvm` or `tcg`.
    pub accelerator: Accelerator,
    /// QEMU's name for the processors' model; `None` for the accelerator's best.
    pub cpu_model: Option<String>,
    /// The frequency of the guest's time stamp counter under TCG, if it is known.
    pub tsc_khz: Option<u32>,
    /// The scratch disk's size in bytes; it is sparse.
    pub disk_bytes: u64,
    /// What set it.
    pub disk_from: LimitSource,
    /// The network that QEMU makes for it, if it gets one.
    pub slirp: Slirp,
    /// Whether the host's loopback is a part of that network.
    pub host_loopback: HostLoopback,
    /// More kernel arguments.
    pub kernel_arguments: String,
}

/// A sandbox, as its runner makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sandbox {
    /// What of the host is in it.
    pub binds: Vec<Bind>,
    /// As whom it is made.
    pub ids: Ids,
    /// What the image's root comes as.
    pub root: RootForm,
    /// What limits it.
    pub groups: Vec<Cgroup>,
}

/// What the image's root comes as.
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
    /// By root of the machine, in a range of ids that no user of the host has.
    Own,
    /// By root of the machine, on a file system that cannot show its files as those of other users: every user inside is that
    /// user outside, without that user's rights.
    Root,
    /// In a user namespace with the user's range of `/etc/subuid`.
    Range,
    /// In a user namespace with one user: root inside is the user that runs kiln.
    SingleUid,
}

/// A control group for one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cgroup {
    /// The directory in which it is made.
    pub parent: PathBuf,
    /// Names of its files, and what is written to them, in this order. A file that this kernel does not have is passed over:
    /// not all kernels count swap.
    pub files: Vec<(&'static str, String)>,
}
