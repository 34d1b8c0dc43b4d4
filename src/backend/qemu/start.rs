//! How a guest starts: restored from a template, or by a boot. Pure.

use std::fmt;

use super::argv::has_daemon;
use crate::{
    image::{Feature, ModuleSet},
    plan::{Accelerator, Machine, Plan, StartOption},
};

/// `vmstate_vuf` in hw/virtio/vhost-user-fs.c is `unmigratable` before QEMU 8.2, which is refused at the restore, too: such a device is
/// plugged into a PCI slot of the guest that was restored.
const HAS_NO_PCI: &str =
    "the guest's kernel has no virtio_pci, by which a restored guest gets a virtiofs share";

/// How a guest starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Starting {
    /// From a template, if there can be one.
    Restored,
    /// Its kernel boots.
    Boots,
    /// Its kernel boots, for a reason.
    Unfit(&'static str),
}

impl Starting {
    /// For the guest of this plan, with this kernel. With KVM a guest boots in a fraction of a second, and a restore was never measured.
    pub(super) fn of(plan: &Plan, machine: &Machine, kernel: &ModuleSet) -> Self {
        match machine.start {
            StartOption::Cold => Self::Boots,
            StartOption::Auto if machine.accelerator == Accelerator::Kvm => Self::Boots,
            StartOption::Auto | StartOption::Warm
                if has_daemon(plan, machine) && !kernel.has(Feature::Pci) =>
            {
                Self::Unfit(HAS_NO_PCI)
            }
            StartOption::Auto | StartOption::Warm => Self::Restored,
        }
    }
}

/// The line of `kiln plan`.
impl fmt::Display for Starting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restored => f.write_str("restored from a template, made if it is missing"),
            Self::Boots => f.write_str("boots"),
            Self::Unfit(why) => write!(f, "boots: {why}"),
        }
    }
}
