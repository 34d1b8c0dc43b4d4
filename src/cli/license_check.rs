//! `kiln license-check`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

/// `kiln license-check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Prints the licences of each file; what the build file does not declare is a warning. Exits with 0."
)]
pub struct LicenseCheckArgs {
    /// A directory of sources, or a build file.
    #[arg(value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    pub source: PathBuf,
    /// The sources of the build file.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub workdir: Option<PathBuf>,
    /// How deep licences are looked for.
    #[arg(long, value_enum, default_value_t = ScanType::Shallow)]
    pub scan_type: ScanType,
}

/// How deep licences are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScanType {
    /// In the directory, and in those in it.
    Shallow,
    /// In the whole tree.
    Deep,
}
