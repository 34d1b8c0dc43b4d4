//! `kiln query` and `kiln package-version`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// A build file to ask.
#[derive(Debug, Args)]
pub struct PackageVersionArgs {
    /// The build file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

/// A build file, and what to print of it.
#[derive(Debug, Args)]
#[command(
    after_help = "Fields have melange's names: .Package.Name, .Package.Version, .Package.Epoch, .Package.Dependencies.Runtime, \
.Subpackages, .Environment.Contents.Packages. Of Go's templates there are fields, range, if, else, printf and eq."
)]
pub struct QueryArgs {
    /// The build file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// A text with actions between {{ and }}, such as "{{ .Package.Name }}-{{ .Package.Version }}".
    pub template: String,
}
