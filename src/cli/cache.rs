//! `kiln cache`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueHint};

/// `kiln cache …`.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List the cache directories that builds have used, and who uses them now.
    Ls {
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Count what a cache holds, by kind of directory.
    Report {
        /// Which cache.
        #[command(flatten)]
        cache: CacheArgs,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Remove what was not used for long, in whole entries (a module with its archive, a repository), the least recently
    /// used first.
    Prune(PruneArgs),
    /// Write a cache, or parts of it, into an archive for another machine.
    Export(ExportArgs),
    /// Put the entries of such an archive into a cache, as a commit does: all of them or, where one is refused, none.
    Import(ImportArgs),
    /// Finish what earlier commits left, and look for what is damaged, strange, or somebody else's; 7 if there is any.
    #[command(
        after_help = "Compared are sources of fetch, npm's contents, Go's archives and what was unpacked from them, Cargo's \
crates (with the index), Maven's artifacts (with the .sha1 beside them), objects and packs of git. --repair removes damaged \
entries whole, so that their tools fetch them again."
    )]
    Verify {
        /// Which cache.
        #[command(flatten)]
        cache: CacheArgs,
        /// Mend what is wrong, and remove what was never finished, when nobody else uses the cache.
        #[arg(long)]
        repair: bool,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
}

/// Which cache, and how long it is waited for.
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// The cache.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, default_value = "./melange-cache/")]
    pub cache_dir: PathBuf,
    /// How long to wait for builds that use the cache and exclude this command; builds that come later wait behind it.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub cache_wait: String,
}

/// `kiln cache prune`.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("which").required(true).multiple(true),
    after_help = "Used is an entry when one of its files was read or written. While a build uses the cache nothing is \
removed, and the command ends with 7 (with --cache-wait 6, after that time). A removal that was interrupted is finished by the next build or kiln cache command."
)]
pub struct PruneArgs {
    /// Which cache.
    #[command(flatten)]
    pub cache: CacheArgs,
    /// Remove entries until the cache holds at most so much (4Gi; 0 for nothing).
    #[arg(long, value_name = "SIZE", group = "which")]
    pub max_size: Option<String>,
    /// Remove entries that were not used for so long (90m, 720h).
    #[arg(long, value_name = "AGE", group = "which")]
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

/// `kiln cache export`.
#[derive(Debug, Args)]
#[command(
    after_help = "The same entries give the same bytes. Locks, logs and programs, which no commit keeps either, are left \
out. Builds may go on."
)]
pub struct ExportArgs {
    /// The archive (.tar.zst), which appears when it is whole; - for stdout.
    pub file: PathBuf,
    /// What of it: tools (go, cargo, …), sources, or paths in the cache [default: all].
    pub parts: Vec<String>,
    /// Which cache.
    #[command(flatten)]
    pub cache: CacheArgs,
}

/// `kiln cache import`.
#[derive(Debug, Args)]
#[command(
    after_help = "What is there and the same is left alone. Where both have a file and names say the content, the one that is \
there stays, else the one of the archive wins; it waits for builds that may be reading the old one."
)]
pub struct ImportArgs {
    /// The archive; - for stdin.
    pub file: PathBuf,
    /// The cache, made if it is missing.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, default_value = "./melange-cache/")]
    pub cache_dir: String,
    /// How long to wait for a build that has the cache alone; builds that come later wait behind it.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub cache_wait: String,
    /// The most that is taken, as SIZE or SIZE,ENTRIES.
    #[arg(long, value_name = "LIMIT", default_value = "16Gi,1048576")]
    pub limit: String,
}
