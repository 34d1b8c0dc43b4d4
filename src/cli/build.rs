//! `kiln build` and `kiln plan`.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, ValueEnum, ValueHint};

use super::{MachineArgs, PackageArgs, RecipeArgs, UnsupportedArgs};

use crate::report::Progress;

/// The variables that builds, and guests of other commands, depend on; flags win.
const ENVIRONMENT: &str = "\
Environment:
  KILN_HOME            where images, kernels and logs lie
                       [default: $XDG_CACHE_HOME/kiln, else ~/.cache/kiln]
  QEMU_USE_VIRTIOFS    1: the cache comes by virtiofs, and what builds write into it is kept
  KILN_VIRTIOFSD       the server of virtiofs, as --virtiofsd names it
  QEMU_VIRTIOFS_PATH   the directory in which virtiofsd is looked for first
  QEMU_KERNEL_IMAGE    the guest's kernel, and with QEMU_KERNEL_MODULES the directory of its modules
  QEMU_KERNEL_CMDLINE  more arguments for it
  QEMU_DISKS_PATH      where scratch files lie [default: $TMPDIR, else /var/tmp]
  QEMU_NET_CIDR        the guest's network [default: 10.0.2.0/24]
  QEMU_DNS_SEARCH      the domains that it searches, with commas between them [default: the host's]
  SOURCE_DATE_EPOCH    the time that packages bear, in seconds since 1970
  MELANGE_VERSIONED_SHLIB_DEPENDS
                       1: packages depend on the versions of shared libraries
  SSL_CERT_FILE        the certificates of this host; see --host-certs
  HTTP_AUTH            basic:HOST:NAME:PASSWORD, a login for a host with repositories of apk
  DOCKER_HOST          the daemon of --runner docker, as the docker command takes it
  NO_COLOR             no colours";

/// What and where a build is.
#[derive(Debug, Args)]
#[command(after_help = ENVIRONMENT)]
pub struct BuildArgs {
    /// The build files, and directories of them; several are built in the order of their needs [default: .melange.yaml,
    /// .melange.yml, melange.yaml or melange.yml].
    #[arg(value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub files: Vec<PathBuf>,
    /// How its recipe is made.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// In what it runs.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// How many of several build files are built at once.
    #[arg(long, value_name = "N", default_value = "1")]
    pub jobs: NonZeroUsize,
    /// Build all of several build files, also those that an interrupted run of the same command has built.
    #[arg(long)]
    pub rebuild: bool,
    /// Build this file in this process, and write its result to descriptor 3.
    #[arg(long, value_name = "FILE", hide = true)]
    pub job: Option<PathBuf>,
    /// The job needs packages of earlier jobs.
    #[arg(long, hide = true, requires = "job")]
    pub needs_built: bool,
    /// What its packages say, and what is written beside them.
    #[command(flatten)]
    pub package: PackageArgs,
    /// Open a shell in the place of a step that fails: after `exit 0` the build goes on with the next step.
    #[arg(short, long)]
    pub interactive: bool,
    /// Keep the workspace of a step that fails, and say where.
    #[arg(long)]
    pub keep_on_failure: bool,
    /// How events are shown.
    #[arg(long, value_enum, default_value = "auto")]
    pub progress: Progress,
    /// What has no effect. Last, since its heading is that of all that follow.
    #[command(flatten)]
    pub unsupported: UnsupportedArgs,
}

/// How `kiln plan --graph` prints the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphForm {
    /// A JSON document.
    Json,
    /// The language of Graphviz.
    Dot,
}

/// `kiln plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The build file [default: .melange.yaml, .melange.yml, melange.yaml or melange.yml]; with --graph several, and directories.
    #[arg(value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub files: Vec<PathBuf>,
    /// Instead of the plan, print which of several build files needs which others, as JSON or for Graphviz.
    #[arg(long, value_enum, value_name = "FORM", num_args = 0..=1, default_missing_value = "json", require_equals = true, conflicts_with_all = ["explain", "json"])]
    pub graph: Option<GraphForm>,
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
    /// What its packages say, and what is written beside them.
    #[command(flatten)]
    pub package: PackageArgs,
}
