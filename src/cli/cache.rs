//! `kiln cache`.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, Subcommand, ValueHint};

use super::values::{Checked, commit_limit, duration, size_or_zero};
use crate::{cache::CommitLimit, plan::Bytes};

/// `kiln cache …`.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List the cache directories that builds have used, and their present users.
    #[command(visible_alias = "list")]
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
    /// Remove the least recently used entries (a module with its archive, a repository, …), each as a whole.
    Prune(PruneArgs),
    /// Write a cache, or parts of it, into an archive for another machine.
    Export(ExportArgs),
    /// Add the entries of such an archive to a cache: all of them or, if one is refused, none.
    Import(ImportArgs),
    /// Complete interrupted commits, and find entries that are damaged, unexpected or of another user; exits with 7 if there are any.
    #[command(
        after_help = "These are compared with their checksums: sources of fetch, npm's contents, Go's archives and what was unpacked \
from them, Cargo's crates (with the index), Maven's artifacts (with the .sha1 beside them), git's objects and packs. --repair removes \
a damaged entry as a whole, so that its tool fetches it again."
    )]
    Verify {
        /// Which cache.
        #[command(flatten)]
        cache: CacheArgs,
        /// Repair what is wrong and remove unfinished entries; the cache must not be in use.
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
    /// How long to wait while builds use the cache; builds that start later wait for this command.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = Checked(duration))]
    pub cache_wait: Duration,
}

/// `kiln cache prune`.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("which").required(true).multiple(true),
    after_help = "An entry was used when one of its files was last read or written. While a build uses the cache nothing is removed, and the \
command exits with 7 (with --cache-wait, after that time, with 6). The next build or kiln cache command completes a removal that was interrupted."
)]
pub struct PruneArgs {
    /// Which cache.
    #[command(flatten)]
    pub cache: CacheArgs,
    /// Remove entries until the cache is at most this large (4Gi; 0 removes all).
    #[arg(long, value_name = "SIZE", group = "which", value_parser = Checked(size_or_zero))]
    pub max_size: Option<Bytes>,
    /// Remove entries that were not used for this long (90m, 720h).
    #[arg(long, value_name = "AGE", group = "which", value_parser = Checked(duration))]
    pub older_than: Option<Duration>,
    /// Keep these: tools (go, cargo, …), sources, or paths in the cache.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub keep: Vec<String>,
    /// Print what would be removed, and remove nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// `kiln cache export`.
#[derive(Debug, Args)]
#[command(
    after_help = "The same entries give the same bytes. Locks, logs and programs are left out, as mode commit leaves them out. Builds may use the cache \
meanwhile."
)]
pub struct ExportArgs {
    /// The archive (.tar.zst), which appears when it is complete; - for stdout.
    pub file: PathBuf,
    /// Which parts: tools (go, cargo, …), sources, or paths in the cache [default: all].
    pub parts: Vec<String>,
    /// Which cache.
    #[command(flatten)]
    pub cache: CacheArgs,
}

/// `kiln cache import`.
#[derive(Debug, Args)]
#[command(
    after_help = "A file that the cache has already is left alone. If two different files have one path, the cache keeps its \
own where the name identifies the content (a hash, a version). Elsewhere the archive's file replaces it, as soon as no build may be reading \
the old one."
)]
pub struct ImportArgs {
    /// The archive; - for stdin.
    pub file: PathBuf,
    /// The cache, made if it is missing.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, default_value = "./melange-cache/")]
    pub cache_dir: String,
    /// How long to wait while a build has the cache alone; builds that start later wait for this command.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = Checked(duration))]
    pub cache_wait: Duration,
    /// The most that is added, as SIZE or SIZE,ENTRIES.
    #[arg(long, value_name = "LIMIT", default_value = "16Gi,1048576", value_parser = Checked(commit_limit))]
    pub limit: CommitLimit,
}
