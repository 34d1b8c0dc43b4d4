//! The options of a build: flags, else variables of the environment, else defaults.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use clap::ValueEnum;
use serde::Serialize;

use super::{
    AcceleratorOption, ApkKey, Bytes, CacheSharing, HostLoopback, HostSettings, ImageReference,
    InsecureRepositories, Network, PackagingOptions, RunnerKind, Slirp, StartOption, Trace,
};

/// `--cache-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CacheModeOption {
    /// discard with 9p; rw with virtiofs, docker and bubblewrap.
    Auto,
    /// The build's writes are discarded.
    Discard,
    /// The build's writes are merged into the cache if the build succeeds.
    Commit,
    /// The build writes to the cache directly.
    Rw,
    /// The build cannot write.
    Ro,
}

/// The virtiofs server of the cache: `--virtiofsd`, `KILN_VIRTIOFSD`, or `QEMU_USE_VIRTIOFS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VirtiofsOption {
    /// None: the cache is shared by 9p.
    #[value(skip)]
    Off,
    /// virtiofsd, a program of this host.
    Spawned,
    /// kiln's own device, which needs no other program.
    Embedded,
}

/// How a microVM gets the source directory, which it can only read: `--source-share`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum SourceShare {
    /// QEMU's own 9p server.
    #[default]
    #[value(name = "9p")]
    NineP,
    /// kiln's own virtiofs device.
    Virtiofs,
}

impl SourceShare {
    /// The end of the sentence "the source is shared …".
    pub fn phrase(self) -> &'static str {
        match self {
            Self::NineP => "by 9p",
            Self::Virtiofs => "by virtiofs",
        }
    }
}

/// How the packages of a root are chosen: `--solver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SolverOption {
    /// As apko chooses: it never takes a choice back, and may find no set where there is one.
    #[default]
    Greedy,
    /// As apko chooses; where that fails, a search finds a set whenever there is one.
    Complete,
}

/// Flags on apk's repositories, beside those that the build file names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryOptions {
    /// `--repository-append`.
    pub append: Vec<String>,
    /// `--keyring-append`.
    pub keyring: Vec<String>,
    /// `--ignore-signatures`.
    pub ignore_signatures: bool,
    /// `--solver`.
    pub solver: SolverOption,
    /// `--apk-cache-dir`, absolute; `None` for one below kiln's own directory.
    pub cache: Option<PathBuf>,
    /// `--lock`, absolute.
    pub lock: Option<PathBuf>,
    /// `--locked`, absolute.
    pub locked: Option<PathBuf>,
    /// Packages that earlier builds of the same command have made.
    pub built: BuiltPackages,
}

/// Packages that earlier builds of the same command have made, for a root of apk's packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BuiltPackages {
    /// The build needs none of them.
    #[default]
    Unneeded,
    /// Nothing signs them, or no index has them.
    Untrusted,
    /// They are in this repository.
    Repository {
        /// Its directory.
        directory: PathBuf,
        /// The public key of its index; `None` where signatures are ignored.
        key: Option<ApkKey>,
    },
}

/// All options of a build.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildOptions {
    /// The build file, as the command line names it; a placeholder without a build file.
    pub build_file: PathBuf,
    /// `--runner`.
    pub runner: RunnerKind,
    /// `--accel`, of a microVM.
    pub accelerator: AcceleratorOption,
    /// `--start`.
    pub start: StartOption,
    /// `--image`.
    pub image: Option<ImageReference>,
    /// `--allow-insecure-repositories`.
    pub insecure_repositories: InsecureRepositories,
    /// `-r`, `-k`, `--ignore-signatures`, `--solver`, `--apk-cache-dir`.
    pub repositories: RepositoryOptions,
    /// `--source-dir`, absolute; `None` with `--empty-workspace`.
    pub source: Option<PathBuf>,
    /// A directory of `--source-dir` that does not exist.
    pub missing_source: Option<PathBuf>,
    /// `--source-share`, of a microVM.
    pub source_share: SourceShare,
    /// Paths that are hidden from the build, relative to the source.
    pub hidden: Vec<PathBuf>,
    /// `--cache-dir`, absolute, existing; `None` without a cache.
    pub cache_dir: Option<PathBuf>,
    /// `--cache-mode`.
    pub cache_mode: CacheModeOption,
    /// `--cache-sharing`; `None` for the default of the mode.
    pub cache_sharing: Option<CacheSharing>,
    /// `--virtiofsd`, `KILN_VIRTIOFSD`, `QEMU_USE_VIRTIOFS`.
    pub virtiofs: VirtiofsOption,
    /// How many request queues kiln's own virtiofs device has, where the guest's kernel uses several; `None`: one for each
    /// processor. No flag sets it: benchmarks compare the numbers.
    pub request_queues: Option<u32>,
    /// `--out-dir`, absolute.
    pub out_dir: PathBuf,
    /// The options of packages.
    pub packaging: PackagingOptions,
    /// `--memory`.
    pub memory: Option<Bytes>,
    /// `--cpu`: processors.
    pub cpus: Option<u32>,
    /// `--cpumodel`.
    pub cpu_model: Option<String>,
    /// `--disk`.
    pub disk: Option<Bytes>,
    /// `--allow-capability`: numbers of `linux/capability.h`.
    pub granted: BTreeSet<u8>,
    /// `--network`.
    pub network: Network,
    /// `--host-loopback`.
    pub host_loopback: HostLoopback,
    /// `--debug`.
    pub trace: Trace,
    /// `--boot-timeout`; `None`: the default, scaled under TCG.
    pub boot_timeout: Option<Duration>,
    /// `--step-timeout`.
    pub step_timeout: Option<Duration>,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `SOURCE_DATE_EPOCH` or `--build-date`, in seconds.
    pub source_date_epoch: i64,
    /// `--host-certs`, `--proxy`, `--secret`.
    pub host_settings: HostSettings,
    /// `QEMU_NET_CIDR`, `QEMU_DNS_SEARCH`.
    pub slirp: Slirp,
    /// `QEMU_KERNEL_CMDLINE`.
    pub kernel_arguments: String,
}
