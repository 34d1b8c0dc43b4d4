//! `kiln cache`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `kiln cache …`.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List the cache directories that builds have used, and who uses them now.
    Ls,
    /// Count what a cache holds, by kind of directory.
    Report {
        /// The cache.
        #[arg(long, value_name = "DIR", default_value = "./melange-cache/")]
        cache_dir: PathBuf,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Remove what was not used for long, in whole entries (a module with its archive, a repository), the least recently
    /// used first.
    Prune(PruneArgs),
    /// Finish what earlier commits left, and compare files that are named after their content with it; 7 if any differs.
    Verify {
        /// The cache.
        #[arg(long, value_name = "DIR", default_value = "./melange-cache/")]
        cache_dir: PathBuf,
        /// Remove what is damaged, when nobody else uses the cache.
        #[arg(long)]
        repair: bool,
    },
}

/// `kiln cache prune`.
#[derive(Debug, Args)]
#[command(
    after_help = "Used is an entry when one of its files was read or written. While a build uses the cache nothing is \
removed, and the command ends with 7. A removal that was interrupted is finished by the next build or kiln cache command."
)]
pub struct PruneArgs {
    /// The cache.
    #[arg(long, value_name = "DIR", default_value = "./melange-cache/")]
    pub cache_dir: PathBuf,
    /// Remove entries until the cache holds at most so much (4Gi; 0 for nothing).
    #[arg(long, value_name = "SIZE", required_unless_present = "older_than")]
    pub max_size: Option<String>,
    /// Remove entries that were not used for so long (90m, 720h).
    #[arg(long, value_name = "AGE")]
    pub older_than: Option<String>,
    /// Leave these alone: tools (go, cargo, …), sources, or paths in the cache.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub keep: Vec<String>,
    /// Remove nothing, and say what would be removed.
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}
