//! The command line, as clap types: every option with its type and its help, and none of its effects.
//!
//! `kiln build` takes melange's flags with their meanings. `commands::build` prints a note for each flag that has no effect yet.

mod apk;
mod bench;
mod bench_io;
mod build;
mod build_date;
mod cache;
mod cache_also;
mod guest;
mod image;
mod license_check;
mod lint;
mod machine;
mod package;
mod query;
mod recipe;
mod repositories;
mod test;
mod unsupported;
mod values;

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use cache_also::CacheAlsoParser;

use crate::report::Progress;

pub use apk::{IndexArgs, KeygenArgs, SignArgs, SignIndexArgs};
pub use bench::{BenchArgs, BenchCommand, CompareArgs};
pub use bench_io::IoArgs;
pub use build::{BuildArgs, GraphForm, PlanArgs};
pub use cache::{CacheArgs, CacheCommand, ExportArgs, ImportArgs, PruneArgs};
pub use guest::{RunArgs, ShellArgs};
pub use image::{ImageCommand, WarmArgs};
pub use license_check::{LicenseCheckArgs, ScanType};
pub use lint::LintArgs;
pub use machine::{HostCerts, MachineArgs, ProxyOption};
pub use package::{Linter, PackageArgs, with_joined_booleans};
pub use query::{PackageVersionArgs, QueryArgs};
pub use recipe::{ArchOption, CompileArgs, RecipeArgs, UpdateCacheArgs};
pub use repositories::RepositoryArgs;
pub use test::TestArgs;
pub use unsupported::UnsupportedArgs;

/// The place of global options in the help: below the command's own.
const LAST: usize = 100;

/// Builds packages from source, each build in a microVM of its own, with a cache that every build can use.
#[derive(Debug, Parser)]
#[command(name = "kiln", version, max_term_width = 110)]
#[command(
    after_help = "Start with `kiln doctor`, which says whether this host can build. `kiln help COMMAND` describes a command and its \
options.\n\nExit codes: 0 success, 1 a defect of kiln, 2 usage, 3 build file invalid, 4 host or environment, \
5 a step failed, 6 a time-out, 7 cache, 8 packaging, 130 interrupted, 143 terminated."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How much kiln logs to stderr: error, warn, info, debug, or a filter such as kiln=debug [default: warn].
    #[arg(long, global = true, value_name = "LEVEL", display_order = LAST)]
    pub log_level: Option<String>,
    /// Log more: -v is --log-level info, -vv is --log-level debug.
    #[arg(short, long, global = true, display_order = LAST, action = clap::ArgAction::Count, conflicts_with_all = ["log_level", "quiet"])]
    pub verbose: u8,
    /// Print only errors and the result, as --progress quiet does.
    #[arg(short, long, global = true, display_order = LAST, conflicts_with = "log_level")]
    pub quiet: bool,
}

impl Cli {
    /// The log's level or filter.
    pub fn log_level(&self) -> &str {
        match (&self.log_level, self.verbose, self.quiet) {
            (Some(level), _, _) => level,
            (None, _, true) => "error",
            (None, 0, false) => "warn",
            (None, 1, false) => "info",
            (None, _, false) => "debug",
        }
    }
}

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build the package that a build file describes.
    Build(Box<BuildArgs>),
    /// Run the tests of a build file's packages, each in a fresh guest.
    Test(Box<TestArgs>),
    /// Run a command in a fresh guest of an image, and exit with its status.
    Run(Box<RunArgs>),
    /// Open a shell in a fresh guest: that of a build file, or of an image.
    Shell(Box<ShellArgs>),
    /// Print what `build` would do (steps, mounts, every command line), and start nothing.
    Plan(Box<PlanArgs>),
    /// Print the compiled configuration of build files as JSON.
    Compile(Box<CompileArgs>),
    /// Print the name and version of a build file's package.
    PackageVersion(PackageVersionArgs),
    /// Print what a template makes of a build file.
    Query(QueryArgs),
    /// Fetch the sources of build files into the cache, so that they can be built without a network.
    UpdateCache(Box<UpdateCacheArgs>),
    /// Make a pair of keys that packages and indexes are signed with.
    Keygen(KeygenArgs),
    /// Sign packages that exist.
    Sign(SignArgs),
    /// Sign the index of a repository.
    SignIndex(SignIndexArgs),
    /// Make the index of a repository, APKINDEX.tar.gz, of packages that exist.
    Index(IndexArgs),
    /// Examine this host: what is there, what is missing, and the command that installs it.
    Doctor(DoctorArgs),
    /// List, make and remove root images.
    Image {
        /// What to do with it.
        #[command(subcommand)]
        command: ImageCommand,
    },
    /// List, count, prune, verify, export and import cache directories.
    Cache {
        /// What to do with it.
        #[command(subcommand)]
        command: CacheCommand,
    },
    /// Measure what kiln costs on this host, and compare results.
    Bench {
        /// What to measure.
        #[command(subcommand)]
        command: BenchCommand,
    },
    /// Look for what packages should not have in them.
    Lint(LintArgs),
    /// Compare the licences in a tree of sources with those that a build file declares.
    LicenseCheck(LicenseCheckArgs),
    /// Print the version.
    Version,
    /// Print a JSON Schema of what kiln writes for programs.
    Schema {
        /// Which one.
        #[arg(value_enum, value_name = "SCHEMA")]
        of: Schema,
    },
    /// Write a manual page for each command.
    Man {
        /// The directory for kiln.1, kiln-build.1 and so on; made if it is missing.
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
    /// Print a completion script for a shell.
    Completion {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Say what can stand in the place of the last word of a command line: what completion scripts ask.
    #[command(hide = true)]
    Complete(CompleteArgs),
}

impl Command {
    /// This command with `--progress quiet`, where it has that option and no other value was given.
    #[must_use]
    pub fn quieted(mut self) -> Self {
        let progress = match &mut self {
            Self::Build(args) => &mut args.progress,
            Self::Test(args) => &mut args.progress,
            Self::UpdateCache(args) => &mut args.progress,
            Self::Image { command: ImageCommand::Build { progress, .. } } => progress,
            _ => return self,
        };
        if *progress == Progress::Auto {
            *progress = Progress::Quiet;
        }
        self
    }
}

/// `kiln schema`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Schema {
    /// The lines of --progress json and of events.jsonl.
    Events,
}

/// `kiln doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 4 if no build in a microVM could run.")]
pub struct DoctorArgs {
    /// Install what is missing: tools (by apt-get, with sudo if kiln is not root), a kernel and a virtiofsd (below KILN_HOME).
    #[arg(long)]
    pub fix: bool,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// `kiln complete`.
#[derive(Debug, Args)]
pub struct CompleteArgs {
    /// The words are as bash has them, and of the last one this is what bash replaces.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub bash: Option<OsString>,
    /// The words up to the cursor, the program's name first; the last one may be empty.
    #[arg(last = true, value_name = "WORD")]
    pub words: Vec<OsString>,
}
