//! The command line, as clap types: what can be said, and nothing of what it means.
//!
//! `kiln build` takes melange's flags with their meanings; where kiln cannot do yet what one asks for, `commands::build`
//! says so, and refuses the build where its result would be another one.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

mod cache;
mod cache_also;

use cache_also::CacheAlsoParser;

pub use cache::{CacheArgs, CacheCommand, ExportArgs, ImportArgs, PruneArgs};

/// The variables that builds, and guests of other commands, depend on; flags win.
const ENVIRONMENT: &str = "\
Environment:
  KILN_HOME            where images, kernels and logs lie
                       [default: $XDG_CACHE_HOME/kiln, else ~/.cache/kiln]
  QEMU_USE_VIRTIOFS    1: the cache comes by virtiofs, and what builds write into it is kept
  QEMU_VIRTIOFS_PATH   the directory in which virtiofsd is looked for first
  QEMU_KERNEL_IMAGE    the guest's kernel, and with QEMU_KERNEL_MODULES the directory of its modules
  QEMU_KERNEL_CMDLINE  more arguments for it
  QEMU_DISKS_PATH      where scratch files lie [default: $TMPDIR, else /var/tmp]
  QEMU_NET_CIDR        the guest's network [default: 10.0.2.0/24]
  QEMU_DNS_SEARCH      the domains that it searches, with commas between them [default: the host's]
  SOURCE_DATE_EPOCH    the time that packages bear, in seconds since 1970
  SSL_CERT_FILE        the certificates of this host; see --host-certs
  DOCKER_HOST          the daemon of --runner docker, as the docker command takes it
  NO_COLOR             no colours";

/// Where options stand that every command has: below its own.
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
    /// Run a command in a fresh guest of an image, and exit with its status.
    Run(Box<RunArgs>),
    /// Open a shell in a fresh guest: that of a build file, or of an image.
    Shell(Box<ShellArgs>),
    /// Print what `build` would do (steps, mounts, every command line), and start nothing.
    Plan(Box<PlanArgs>),
    /// Print the compiled configuration of build files as JSON.
    Compile(Box<CompileArgs>),
    /// Fetch the sources of build files into the cache, so that they can be built without a network.
    UpdateCache(Box<UpdateCacheArgs>),
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
    /// Print the version.
    Version,
    /// Print a JSON Schema of what kiln writes for programs.
    Schema {
        /// Which one.
        #[arg(value_enum, value_name = "SCHEMA")]
        of: SchemaChoice,
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
    /// The same with `--progress quiet`, where it has that option and nothing else was chosen.
    #[must_use]
    pub fn quieted(mut self) -> Self {
        let progress = match &mut self {
            Self::Build(args) => &mut args.progress,
            Self::UpdateCache(args) => &mut args.progress,
            Self::Image { command: ImageCommand::Build { progress, .. } } => progress,
            _ => return self,
        };
        if *progress == ProgressChoice::Auto {
            *progress = ProgressChoice::Quiet;
        }
        self
    }
}

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressChoice {
    /// A live display on a terminal, plain lines elsewhere.
    Auto,
    /// A live display.
    Tty,
    /// A line for each event.
    Plain,
    /// One JSON object a line on stdout.
    Json,
    /// Errors and the result.
    Quiet,
}

/// `kiln schema`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaChoice {
    /// The lines of --progress json and of events.jsonl.
    Events,
}

/// `--runner`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RunnerChoice {
    /// A microVM.
    Qemu,
    /// A container of the docker daemon.
    Docker,
    /// A sandbox of this host's kernel, made by bwrap.
    Bubblewrap,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// `--proxy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProxyChoice {
    /// They get those that the guest can reach.
    Auto,
    /// They get none.
    Off,
}

/// `--accel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccelChoice {
    /// KVM where a guest really runs with it, else TCG.
    Auto,
    /// KVM, or an error.
    Kvm,
    /// QEMU's translator, which works everywhere and is slow.
    Tcg,
}

/// `--cache-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CacheModeChoice {
    /// discard with 9p; rw with virtiofs, docker and bubblewrap.
    Auto,
    /// The build's writes are thrown away.
    Discard,
    /// The build's writes are merged into the cache if the build succeeds.
    Commit,
    /// The build writes to the cache directly.
    Rw,
    /// The build cannot write.
    Ro,
}

/// `--cache-sharing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CacheSharingChoice {
    /// Several builds use the cache at the same time.
    Shared,
    /// The first build uses the cache, each other one a directory of its own.
    Private,
    /// Each build waits until it has the cache alone.
    Locked,
}

/// `--virtiofsd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VirtiofsdChoice {
    /// virtiofsd, started beside QEMU.
    Spawned,
}

/// Where the variables and steps of a build file come from.
#[derive(Debug, Clone, Default, Args)]
pub struct RecipeArgs {
    /// The architecture to build for [default: the host's].
    #[arg(long, value_name = "ARCH", value_delimiter = ',')]
    pub arch: Vec<String>,
    /// Options of the build file to enable.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub build_option: Vec<String>,
    /// A directory of pipeline definitions, searched first.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub pipeline_dir: Option<PathBuf>,
    /// More directories of pipeline definitions.
    #[arg(long, value_name = "DIR", value_delimiter = ',', value_hint = ValueHint::DirPath)]
    pub pipeline_dirs: Vec<PathBuf>,
    /// A YAML map merged over the build file's `vars`.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub vars_file: Option<PathBuf>,
    /// Files of NAME=VALUE lines for the environment; the build file's own wins.
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub env_file: Vec<PathBuf>,
    /// Packages to add to the build environment.
    #[arg(long, value_name = "PACKAGE", value_delimiter = ',')]
    pub package_append: Vec<String>,
    /// More tools that find their caches in the cache directory: gocache, ccache, sccache, gradle, yarn, pnpm, bundler,
    /// cpan, r, nuget, bazel.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = CacheAlsoParser, hide_possible_values = true)]
    pub cache_also: Vec<String>,
    /// The libc of ${{host.triplet.*}}.
    #[arg(long, value_name = "gnu|musl", default_value = "gnu", value_parser = ["gnu", "musl"])]
    pub override_host_triplet_libc_substitution_flavor: String,
}

/// Whose sources to fetch, and where to.
#[derive(Debug, Args)]
pub struct UpdateCacheArgs {
    /// The build files [default: .melange.yaml, .melange.yml, melange.yaml or melange.yml].
    pub files: Vec<PathBuf>,
    /// How their recipes are made.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// The directory to fill, made if it is missing: the one that builds are given.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, default_value = "./melange-cache/")]
    pub cache_dir: String,
    /// How long to wait while another build has the cache alone.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub cache_wait: String,
    /// The most that is fetched, as SIZE or SIZE,TOTAL: of one source (a file, or all that git fetches and unpacks for a
    /// repository), and of all together. A download that becomes larger is ended and removed.
    #[arg(long, value_name = "LIMIT", default_value = "16Gi,64Gi")]
    pub limit: String,
    /// How events are shown.
    #[arg(long, value_enum, default_value = "auto")]
    pub progress: ProgressChoice,
}

/// What and where a build is.
#[derive(Debug, Args)]
#[command(after_help = ENVIRONMENT)]
pub struct BuildArgs {
    /// The build file [default: .melange.yaml, .melange.yml, melange.yaml or melange.yml].
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// How its recipe is made.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// In what it runs.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Open a shell in the place of a step that fails: after `exit 0` the build goes on with the next step.
    #[arg(short, long)]
    pub interactive: bool,
    /// Keep the workspace of a step that fails, and say where.
    #[arg(long)]
    pub keep_on_failure: bool,
    /// How events are shown.
    #[arg(long, value_enum, default_value = "auto")]
    pub progress: ProgressChoice,
    /// What has no effect. Last, since its heading is that of all that follow.
    #[command(flatten)]
    pub unsupported: UnsupportedArgs,
}

/// In what a build runs.
#[derive(Debug, Clone, Args)]
pub struct MachineArgs {
    /// The backend.
    #[arg(long, value_enum, default_value = "qemu", value_name = "RUNNER")]
    pub runner: RunnerChoice,
    /// The root of the guest: debian:SUITE[+PACKAGE,…], a directory, or a tar [default: debian:bookworm with the
    /// build file's packages].
    #[arg(long, value_name = "REF", value_hint = ValueHint::AnyPath)]
    pub image: Option<String>,
    /// The directory that appears in the guest at /home/build [default: the build file's].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub source_dir: Option<PathBuf>,
    /// Start with an empty /home/build.
    #[arg(long, conflicts_with = "source_dir")]
    pub empty_workspace: bool,
    /// Let the build file name repositories that are not signed, or that lie on this host's loopback.
    #[arg(long)]
    pub allow_insecure_repositories: bool,
    /// Where packages are written, below a directory for the architecture.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, default_value = "./packages/")]
    pub out_dir: PathBuf,
    /// The directory that every build sees at /var/cache/melange; made if it is missing; "" for none [default: ./melange-cache/].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache_dir: Option<String>,
    /// What happens to what the build writes to the cache.
    #[arg(long, value_enum, value_name = "MODE", default_value = "auto")]
    pub cache_mode: CacheModeChoice,
    /// What builds do that want the cache at the same time [default: locked in mode rw, else shared].
    #[arg(long, value_enum, value_name = "SHARING")]
    pub cache_sharing: Option<CacheSharingChoice>,
    /// How long to wait while another build has the cache alone.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub cache_wait: String,
    /// The most that mode commit adds to the cache, as SIZE or SIZE,ENTRIES; of a build that writes more nothing is kept.
    #[arg(long, value_name = "LIMIT", default_value = "16Gi,1048576")]
    pub cache_commit_limit: String,
    /// Serve the cache by virtiofs, with this server.
    #[arg(long, value_enum, value_name = "SERVER")]
    pub virtiofsd: Option<VirtiofsdChoice>,
    /// What runs the guest's code.
    #[arg(long, value_enum, value_name = "ACCELERATOR", default_value = "auto")]
    pub accel: AccelChoice,
    /// Whether steps reach the network.
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true, default_value = "on")]
    pub network: Switch,
    /// Whether steps in a microVM reach what listens on this host's loopback: at 10.0.2.2 (see QEMU_NET_CIDR).
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true, default_value = "off")]
    pub host_loopback: Switch,
    /// Capabilities beyond docker's default set that the build file may ask for (SYS_PTRACE, …); a microVM needs no such grant.
    #[arg(long, value_name = "CAP,…", value_delimiter = ',')]
    pub allow_capability: Vec<String>,
    /// The certificates that tools in the guest trust besides its own: auto for those of this host, off, or a file.
    #[arg(long, value_name = "auto|off|FILE", default_value = "auto")]
    pub host_certs: String,
    /// Whether steps get HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY of this environment.
    #[arg(long, value_enum, value_name = "auto|off", default_value = "auto")]
    pub proxy: ProxyChoice,
    /// A secret for the steps, at /run/secrets/ID in memory: id=ID,src=FILE or id=ID,env=VARIABLE. Masked in output,
    /// a shell's too.
    #[arg(long, value_name = "id=ID,src=FILE")]
    pub secret: Vec<String>,
    /// Memory of the guest [default: 4Gi, at most half of the host's].
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Processors of the guest [default: the host's, at most 4].
    #[arg(long, value_name = "N")]
    pub cpu: Option<String>,
    /// QEMU's name of the processor's model [default: the accelerator's best].
    #[arg(long, value_name = "MODEL")]
    pub cpumodel: Option<String>,
    /// The scratch disk's size; it is sparse [default: 50Gi].
    #[arg(long, value_name = "SIZE")]
    pub disk: Option<String>,
    /// How long the guest may take to be ready [default: 30s, 3m under TCG].
    #[arg(long, value_name = "DURATION")]
    pub boot_timeout: Option<String>,
    /// How long each step may take.
    #[arg(long, value_name = "DURATION")]
    pub step_timeout: Option<String>,
    /// How long all steps together may take; package.timeout wins.
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Have the shell print each command it runs (set -x).
    #[arg(long)]
    pub debug: bool,
    /// The modification time of everything in the packages, and steps' SOURCE_DATE_EPOCH, as RFC 3339
    /// [default: 1970-01-01T00:00:00Z]; a SOURCE_DATE_EPOCH of kiln's environment wins.
    #[arg(long, value_name = "TIME")]
    pub build_date: Option<String>,
}

/// melange's flags that kiln knows and cannot follow yet.
#[derive(Debug, Args)]
#[command(next_help_heading = "Flags of melange that have no effect (each says so when it is given)")]
pub struct UnsupportedArgs {
    /// No effect: kiln makes no .apk yet.
    #[arg(long, value_name = "FILE")]
    pub signing_key: Option<PathBuf>,
    /// No effect: kiln makes no index yet.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub generate_index: Option<bool>,
    /// No effect: kiln makes no provenance yet.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub generate_provenance: Option<bool>,
    /// No effect: kiln has no linters yet.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub lint_require: Vec<String>,
    /// No effect: kiln has no linters yet.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub lint_warn: Vec<String>,
    /// No effect: kiln has no linters yet.
    #[arg(long)]
    pub persist_lint_results: bool,
    /// No effect: it belongs to the metadata of .apk files.
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// No effect: it belongs to the metadata of .apk files.
    #[arg(long, value_name = "LICENSE")]
    pub license: Option<String>,
    /// No effect: it belongs to the metadata of .apk files.
    #[arg(long, value_name = "COMMIT")]
    pub git_commit: Option<String>,
    /// No effect: it belongs to the metadata of .apk files.
    #[arg(long, value_name = "URL")]
    pub git_repo_url: Option<String>,
    /// No effect: it belongs to the metadata of .apk files.
    #[arg(long)]
    pub strip_origin_name: bool,
    /// No effect: it belongs to the metadata of .apk files.
    #[arg(long, value_name = "FILE")]
    pub dependency_log: Option<PathBuf>,
    /// No effect: kiln keeps its own logs of the last builds.
    #[arg(long)]
    pub create_build_log: bool,
    /// No effect: roots are made from Debian's packages, whose own cache is used.
    #[arg(long, value_name = "DIR")]
    pub apk_cache_dir: Option<PathBuf>,
    /// No effect: roots are not made from apk repositories yet.
    #[arg(long, short = 'k', value_name = "KEY", value_delimiter = ',')]
    pub keyring_append: Vec<String>,
    /// No effect: roots are not made from apk repositories yet.
    #[arg(long, short = 'r', value_name = "REPO", value_delimiter = ',')]
    pub repository_append: Vec<String>,
    /// No effect: roots are not made from apk repositories yet.
    #[arg(long)]
    pub ignore_signatures: bool,
    /// No effect, in melange too.
    #[arg(long, value_name = "DIR")]
    pub cache_source: Option<String>,
    /// No effect, in melange too.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub cleanup: Option<bool>,
    /// No effect: nothing is left behind in any case.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub rm: Option<bool>,
    /// No effect, in melange too.
    #[arg(long)]
    pub fail_on_lint_warning: bool,
    /// No effect: kiln writes events instead (--progress json).
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// No effect: kiln keeps no workspace on the host.
    #[arg(long, value_name = "DIR")]
    pub workspace_dir: Option<PathBuf>,
    /// No effect: kiln does not leave a machine running.
    #[arg(long)]
    pub debug_runner: bool,
}

/// `kiln run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits with the command's own status, 128 + N where signal N ended it, 127 where it is not found, \
126 where it cannot be executed, 124 where --timeout or --step-timeout ended it, 130 or 143 where a signal ended kiln, \
and 125 where kiln itself failed. Its stdout and stderr are kiln's, byte by byte; at a terminal (-t) both are stdout.\n\nWithout --source-dir the guest's /home/build is empty. Without --cache-dir there is a cache \
only if ./melange-cache/ exists."
)]
pub struct RunArgs {
    /// In what it runs.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Give the command kiln's stdin; without -i it reads an empty one.
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the command this terminal, which stdin and stdout must be.
    #[arg(short, long)]
    pub tty: bool,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `kiln shell`.
#[derive(Debug, Args)]
#[command(
    after_help = "With a build file the guest is that of its build: image and packages, environment, user, source and \
cache. Nothing that is done in it reaches the host but what a cache in mode rw keeps. Exits as `kiln run` does."
)]
pub struct ShellArgs {
    /// The build file [default: that of the working directory, as for `kiln build`; where there is none, a guest of
    /// --image with an empty workspace].
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// How its recipe is made.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// In what it runs.
    #[command(flatten)]
    pub machine: MachineArgs,
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

/// `kiln plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The build file [default: .melange.yaml, .melange.yml, melange.yaml or melange.yml].
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Instead of the plan, say where each step comes from, which conditions held, and what each variable became.
    #[arg(long, conflicts_with = "json")]
    pub explain: bool,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
    /// How its recipe is made.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// In what it runs.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// `kiln compile`.
#[derive(Debug, Args)]
pub struct CompileArgs {
    /// The build files; several give one JSON object a line.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// How its recipe is made.
    #[command(flatten)]
    pub recipe: RecipeArgs,
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

/// `kiln image …`.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// List the images of the store.
    Ls {
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Make an image, if the store does not have it.
    Build {
        /// debian:SUITE[+PACKAGE,…], a directory, or a tar.
        image: String,
        /// Ask the distribution for updates, and make the image anew if there are any.
        #[arg(long)]
        refresh: bool,
        /// How events are shown.
        #[arg(long, value_enum, default_value = "auto")]
        progress: ProgressChoice,
    },
    /// Remove images that no build uses at this moment.
    Prune {
        /// Only those not used for so long (90s, 24h).
        #[arg(long, value_name = "DURATION")]
        unused_for: Option<String>,
    },
}
