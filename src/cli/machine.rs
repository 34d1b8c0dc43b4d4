//! In what a build runs: the backend, its root, its cache, its limits, and what it gets of the host.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use crate::plan::{
    AcceleratorOption, CacheModeOption, CacheSharing, HostLoopback, Network, RunnerKind, VirtiofsOption,
};

/// Whether steps get the proxies of kiln's environment: `--proxy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProxyOption {
    /// They get those that the guest can reach.
    Auto,
    /// They get none.
    Off,
}

/// In what a build runs.
#[derive(Debug, Clone, Args)]
pub struct MachineArgs {
    /// The backend.
    #[arg(long, value_enum, default_value = "qemu", value_name = "RUNNER")]
    pub runner: RunnerKind,
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
    pub cache_mode: CacheModeOption,
    /// What builds do that want the cache at the same time [default: locked in mode rw, else shared].
    #[arg(long, value_enum, value_name = "SHARING")]
    pub cache_sharing: Option<CacheSharing>,
    /// How long to wait while another build has the cache alone.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub cache_wait: String,
    /// The most that mode commit adds to the cache, as SIZE or SIZE,ENTRIES; of a build that writes more nothing is kept.
    #[arg(long, value_name = "LIMIT", default_value = "16Gi,1048576")]
    pub cache_commit_limit: String,
    /// Serve the cache by virtiofs, with this server.
    #[arg(long, value_enum, value_name = "SERVER")]
    pub virtiofsd: Option<VirtiofsOption>,
    /// What runs the guest's code.
    #[arg(long, value_enum, value_name = "ACCELERATOR", default_value = "auto")]
    pub accel: AcceleratorOption,
    /// Whether steps reach the network.
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true, default_value = "on")]
    pub network: Network,
    /// Whether steps in a microVM reach what listens on this host's loopback: at 10.0.2.2 (see QEMU_NET_CIDR).
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true, default_value = "off")]
    pub host_loopback: HostLoopback,
    /// Capabilities beyond docker's default set that the build file may ask for (SYS_PTRACE, …); a microVM needs no such grant.
    #[arg(long, value_name = "CAP,…", value_delimiter = ',')]
    pub allow_capability: Vec<String>,
    /// The certificates that tools in the guest trust besides its own: auto for those of this host, off, or a file.
    #[arg(long, value_name = "auto|off|FILE", default_value = "auto")]
    pub host_certs: String,
    /// Whether steps get HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY of this environment.
    #[arg(long, value_enum, value_name = "auto|off", default_value = "auto")]
    pub proxy: ProxyOption,
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
