//! The guest of a build: backend, root, cache, limits, and host settings.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, ValueHint};

use super::{
    build_date::build_date,
    repositories::RepositoryArgs,
    values::{Checked, commit_limit, duration, image_reference},
};
use crate::{
    cache::CommitLimit,
    plan::{
        AcceleratorOption, Bytes, CacheModeOption, CacheSharing, HostLoopback, ImageReference, Network,
        RunnerKind, SecretSource, SourceShare, StartOption, VirtiofsOption, parse_bytes, parse_cpus,
        parse_disk, parse_granted,
    },
    secret,
};

/// Whether steps get the proxies of kiln's environment: `--proxy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProxyOption {
    /// They get those that the guest can reach.
    Auto,
    /// They get none.
    Off,
}

/// The certificates of a guest besides its own: `--host-certs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostCerts {
    /// Those of this host.
    Auto,
    /// None.
    Off,
    /// Those of a file.
    File(PathBuf),
}

impl From<&str> for HostCerts {
    fn from(text: &str) -> Self {
        match text {
            "auto" => Self::Auto,
            "off" => Self::Off,
            path => Self::File(path.into()),
        }
    }
}

/// In what a build runs.
// As in melange, the last value of an option counts.
#[derive(Debug, Clone, Args)]
#[command(args_override_self = true)]
pub struct MachineArgs {
    /// The backend.
    #[arg(long, value_enum, default_value = "qemu", value_name = "RUNNER")]
    pub runner: RunnerKind,
    /// The root of the guest: debian:SUITE[+PACKAGE,…], a directory, or a tar [default: debian:bookworm with the
    /// build file's packages].
    #[arg(long, value_name = "REF", value_hint = ValueHint::AnyPath, value_parser = image_reference())]
    pub image: Option<ImageReference>,
    /// The directory that appears in the guest at /home/build [default: the build file's].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub source_dir: Option<PathBuf>,
    /// How a microVM gets the source directory, which it can only read: by QEMU's 9p server, or by kiln's own virtiofs device
    /// [default: 9p].
    #[arg(long, value_enum, value_name = "SHARE", conflicts_with = "empty_workspace")]
    pub source_share: Option<SourceShare>,
    /// Start with an empty /home/build.
    #[arg(long, conflicts_with = "source_dir")]
    pub empty_workspace: bool,
    /// Let the build file name repositories that are not signed, or that lie on this host's loopback.
    #[arg(long)]
    pub allow_insecure_repositories: bool,
    /// Repositories of apk.
    #[command(flatten)]
    pub repositories: RepositoryArgs,
    /// Where packages are written, below a directory for the architecture.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, default_value = "./packages/")]
    pub out_dir: PathBuf,
    /// The directory that every build sees at /var/cache/melange; made if it is missing; "" for none [default: ./melange-cache/].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache_dir: Option<String>,
    /// What becomes of the build's writes to the cache.
    #[arg(long, value_enum, value_name = "MODE", default_value = "auto")]
    pub cache_mode: CacheModeOption,
    /// How builds share the cache at the same time [default: locked in mode rw, else shared].
    #[arg(long, value_enum, value_name = "SHARING")]
    pub cache_sharing: Option<CacheSharing>,
    /// How long to wait while another build has the cache alone.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = Checked(duration))]
    pub cache_wait: Duration,
    /// The most that mode commit adds to the cache, as SIZE or SIZE,ENTRIES; a build that writes more keeps nothing.
    #[arg(long, value_name = "LIMIT", default_value = "16Gi,1048576", value_parser = Checked(commit_limit))]
    pub cache_commit_limit: CommitLimit,
    /// Serve the cache by virtiofs, with this server [default with --cache-mode rw: embedded].
    #[arg(long, value_enum, value_name = "SERVER")]
    pub virtiofsd: Option<VirtiofsOption>,
    /// The accelerator of the guest.
    #[arg(long, value_enum, value_name = "ACCELERATOR", default_value = "auto")]
    pub accel: AcceleratorOption,
    /// Whether the guest boots, or is restored from a template, which the first one makes.
    #[arg(long, value_enum, value_name = "START", default_value = "auto")]
    pub start: StartOption,
    /// Whether steps reach the network.
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true, default_value = "on")]
    pub network: Network,
    /// Whether steps in a microVM reach what listens on this host's loopback: at 10.0.2.2 (see QEMU_NET_CIDR).
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true, default_value = "off")]
    pub host_loopback: HostLoopback,
    /// Capabilities beyond docker's default set that the build file may ask for (SYS_PTRACE, …); a microVM needs no such grant.
    #[arg(long, value_name = "CAP,…", value_delimiter = ',', value_parser = Checked(|name, _| parse_granted(name)))]
    pub allow_capability: Vec<u8>,
    /// The certificates that tools in the guest trust besides its own: auto for those of this host, off, or a file.
    #[arg(long, value_name = "auto|off|FILE", default_value = "auto")]
    pub host_certs: HostCerts,
    /// Whether steps get HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY of this environment.
    #[arg(long, value_enum, value_name = "auto|off", default_value = "auto")]
    pub proxy: ProxyOption,
    /// A secret for the steps, at /run/secrets/ID in memory: id=ID,src=FILE or id=ID,env=VARIABLE. Masked in output,
    /// a shell's too.
    #[arg(long, value_name = "id=ID,src=FILE", value_parser = Checked(|text, _| secret::parse(text)))]
    pub secret: Vec<SecretSource>,
    /// Memory of the guest [default: 4Gi, at most half of the host's].
    #[arg(long, value_name = "SIZE", value_parser = Checked(parse_bytes))]
    pub memory: Option<Bytes>,
    /// Processors of the guest [default: the host's, at most 4].
    #[arg(long, value_name = "N", value_parser = Checked(parse_cpus))]
    pub cpu: Option<u32>,
    /// QEMU's name of the processor's model [default: the accelerator's best].
    #[arg(long, value_name = "MODEL")]
    pub cpumodel: Option<String>,
    /// The scratch disk's size; it is sparse [default: 50Gi].
    #[arg(long, value_name = "SIZE", value_parser = Checked(|text, _| parse_disk(text)))]
    pub disk: Option<Bytes>,
    /// How long the guest may take to be ready [default: 30s, 3m under TCG].
    #[arg(long, value_name = "DURATION", value_parser = Checked(duration))]
    pub boot_timeout: Option<Duration>,
    /// How long each step may take.
    #[arg(long, value_name = "DURATION", value_parser = Checked(duration))]
    pub step_timeout: Option<Duration>,
    /// How long all steps together may take; package.timeout wins.
    #[arg(long, value_name = "DURATION", value_parser = Checked(duration))]
    pub timeout: Option<Duration>,
    /// Have the shell print each command it runs (set -x).
    #[arg(long)]
    pub debug: bool,
    /// The modification time of everything in the packages, and steps' SOURCE_DATE_EPOCH, as RFC 3339
    /// [default: 1970-01-01T00:00:00Z]; a SOURCE_DATE_EPOCH of kiln's environment wins.
    #[arg(long, value_name = "TIME", value_parser = Checked(build_date))]
    pub build_date: Option<i64>,
}
