//! Flags on apk's repositories.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::plan::SolverOption;

/// The repositories of a root, beside those that the build file names.
#[derive(Debug, Clone, Args)]
pub struct RepositoryArgs {
    /// A repository for the root: a URL, a directory, or "@TAG URL". With one, here or in the build file, and without
    /// --image, the root is made of its packages.
    #[arg(long, short = 'r', value_name = "REPO", value_delimiter = ',')]
    pub repository_append: Vec<String>,
    /// A public key that signs repositories: a path or a URL.
    #[arg(long, short = 'k', value_name = "KEY", value_delimiter = ',')]
    pub keyring_append: Vec<String>,
    /// Trust indexes of repositories whatever their signature is.
    #[arg(long)]
    pub ignore_signatures: bool,
    /// How the packages of a root are chosen.
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub solver: SolverOption,
    /// Where packages of repositories are kept for later builds [default: apk, below KILN_HOME].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub apk_cache_dir: Option<PathBuf>,
    /// Write the packages of the root, each by its checksum, to this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "locked")]
    pub lock: Option<PathBuf>,
    /// Take the packages of a file that --lock has written; no index is read.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub locked: Option<PathBuf>,
}
