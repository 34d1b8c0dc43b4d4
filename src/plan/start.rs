//! How a microVM starts.

use clap::ValueEnum;
use serde::Serialize;

/// `--start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StartOption {
    /// Restored from a template, which the first guest of a kind leaves; booted if there can be none.
    #[default]
    Auto,
    /// Booted.
    Cold,
    /// Restored from a template, or an error.
    Warm,
}
