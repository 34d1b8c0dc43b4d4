//! What runs a guest's instructions.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    /// The processor.
    Kvm,
    /// A translator.
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

/// What `--accel` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum AcceleratorOption {
    /// KVM where a guest really runs with it, else TCG.
    #[default]
    Auto,
    /// KVM, or an error.
    Kvm,
    /// QEMU's translator, which works everywhere and is slow.
    Tcg,
}
