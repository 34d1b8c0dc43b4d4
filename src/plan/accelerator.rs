//! Accelerators: KVM or TCG.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// An accelerator of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    /// The processor executes the guest's instructions.
    Kvm,
    /// QEMU translates the guest's instructions.
    Tcg,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

/// `--accel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum AcceleratorOption {
    /// KVM if the probe could boot a guest with it, else TCG.
    #[default]
    Auto,
    /// KVM, or an error.
    Kvm,
    /// QEMU's translator, which works everywhere and is slow.
    Tcg,
}
