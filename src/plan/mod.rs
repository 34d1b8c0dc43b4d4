//! Recipe + Host + options -> Plan: every decision on a build, made before it starts.
//!
//! Pure: it does not read files, start processes or ask the clock; facts of the host are parameters. A plan holds no pid, socket,
//! descriptor or key, and can be printed (`kiln plan`).

mod accelerator;
pub(crate) mod accounts;
mod apk_lines;
mod apk_root;
mod bind;
pub(crate) mod cache;
pub(crate) mod capability;
pub(crate) mod cargo;
mod cpu;
#[cfg(test)]
pub(crate) mod fixtures;
pub(crate) mod guest_config;
mod host_settings;
mod image;
mod interactive;
pub(crate) mod limits;
mod loopback;
mod options;
mod package_metadata;
mod packages;
mod packaging;
mod platform;
mod quantity;
mod repositories;
mod resolve;
pub(crate) mod resources;
mod rules;
mod runner;
mod slirp;
mod start;
mod steps;
mod unshare;
mod userinfo;

use std::{path::PathBuf, time::Duration};

use clap::ValueEnum;
use kiln_protocol::GuestConfig;
use serde::Serialize;

pub use crate::compile::{Origin, WORKSPACE};
pub use crate::ecosystem::CACHE;
pub use crate::manifest::PackageOptions;
pub use accelerator::{Accelerator, AcceleratorOption};
pub use apk_lines::{apk_lines, is_debian_line};
pub use apk_root::{ApkKey, ApkPackage, ApkRoot};
pub(crate) use bind::bind;
pub use bind::{Bind, BindSource, Layer, Overlay, Subset, Upper, Writes};
pub use cache::{CacheMode, CacheMount, CacheShare, CacheSharing, STAGING};
pub use capability::{
    DEFAULT_CAPABILITIES, beyond_default, beyond_default_all, name as capability_name, parse_granted,
    short_of_default,
};
pub use guest_config::{GuestInput, HOSTNAME};
pub use host_settings::{Certificates, HostSettings, Proxies, SecretFrom, SecretSource};
pub(crate) use image::is_debian_name;
pub use image::{
    DebianRoot, FORMS as IMAGE_FORMS, ImageRecipe, Reference as ImageReference, Source as ImageSource,
    unsupported as unsupported_image,
};
pub use interactive::{InteractiveCommand, command, shell_in_place_of};
pub use loopback::is_loopback;
pub use options::{
    BuildOptions, BuiltPackages, CacheModeOption, RepositoryOptions, SolverOption, SourceShare,
    VirtiofsOption,
};
pub use package_metadata::{
    BuildMetadata, Declared, FileCapability, License, PackageMetadata, Scriptlet, Scriptlets, TestUses,
    Upstream,
};
pub use packages::{Mapped, SUITES, debian_packages, known_packages, map_packages, requests_for};
pub use packaging::{
    Make, NO_ASSERTION, OPTIONAL_LINTERS, OriginName, PackageFormat, PackagingOptions, REQUIRED_LINTERS,
    UNKNOWN_NAMESPACE, WARNING_LINTERS,
};
pub use platform::{Cgroup, Ids, Machine, Platform, RequestQueues, RootForm, Sandbox};
pub use quantity::{Bytes, parse_bytes};
pub use repositories::{InsecureRepositories, allowed_repositories};
pub use resolve::{Facts, TCG_SLOWNESS, resolve};
pub use resources::LimitSource;
pub use resources::{check_memory, parse_cpus, parse_disk};
pub use rules::{PlatformRules, RulesInput};
pub use runner::{RunnerKind, RunnerTraits};
pub use slirp::Slirp;
pub use start::StartOption;
pub(crate) use steps::quote as shell_quoted;
pub use steps::{FRAGMENT, PlannedStep};
pub use unshare::user_namespace;

/// The uid and gid of the user `build`.
pub const BUILD_ID: u32 = 1000;
/// The directory in which each package has a directory with its content.
pub const OUTPUT: &str = "/home/build/melange-out";
/// The tag of the source's share.
pub const SOURCE_TAG: &str = "kiln-source";
/// The tag of the cache's share.
pub const CACHE_TAG: &str = "kiln-cache";
/// The serial number of the disk that holds the root.
pub const ROOT_SERIAL: &str = "root";
/// The serial number of the scratch disk.
pub const SCRATCH_SERIAL: &str = "scratch";

/// A build on this host.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The package.
    pub package: PackageId,
    /// The architecture, as apk spells it.
    pub arch: String,
    /// The recipe of the guest's root.
    pub image: ImageRecipe,
    /// The backend's part of the plan.
    pub platform: Platform,
    /// The limits of the build.
    pub resources: Resources,
    /// Whether steps reach a network.
    pub network: Network,
    /// The host directory that appears in [`WORKSPACE`]; `None` for an empty one.
    pub source: Option<PathBuf>,
    /// The cache; `None` without one.
    pub cache: Option<CacheMount>,
    /// The users to whom files belong, in the guest and on the host.
    pub owner: Owner,
    /// The configuration that the agent makes before the first step.
    pub guest_config: GuestConfig,
    /// Settings of the host, which are sent to the agent after the configuration.
    pub host_settings: HostSettings,
    /// The steps, in their order.
    pub steps: Vec<PlannedStep>,
    /// The packages that are exported from the guest.
    pub artifacts: Vec<ArtifactPlan>,
    /// All that the packages say besides their files.
    pub metadata: BuildMetadata,
    /// The modification time of all files in packages, in seconds since the epoch: `SOURCE_DATE_EPOCH`.
    pub build_date: i64,
    /// The uid and gid of the user that builds run as; in packages the user's files belong to root.
    pub build_ids: (u32, u32),
    /// The directory to which packages are written: `<out-dir>/<arch>`.
    pub out_dir: PathBuf,
    /// How long the guest may take until it sends `Hello`.
    pub boot_timeout: Duration,
    /// How long all steps together may take.
    pub timeout: Option<Duration>,
    /// Lines for the user on decisions, with their reasons.
    pub notes: Vec<String>,
}

impl Plan {
    /// The mount point of the overlay of the cache, as the guest configuration names it.
    pub fn cache_overlay(&self) -> Option<&str> {
        self.guest_config.mounts.iter().find_map(|mount| match mount {
            kiln_protocol::Mount::Overlay { target, .. } | kiln_protocol::Mount::Upper { target, .. }
                if target.ends_with(CACHE) =>
            {
                Some(target.as_str())
            }
            _ => None,
        })
    }
}

/// The identity of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageId {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its epoch: the N of `-rN`.
    pub epoch: u64,
}

impl std::fmt::Display for PackageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-r{}", self.name, self.version, self.epoch)
    }
}

impl Plan {
    /// Whether writes of the build into the cache reach the host's directory at once.
    pub fn writes_through(&self) -> bool {
        self.cache.as_ref().is_some_and(CacheMount::writes_through)
    }

    /// Whether the guest needs an orderly shutdown after a build. A microVM that does not write to the host has no unwritten
    /// data once its packages are exported.
    pub fn needs_shutdown(&self) -> bool {
        !self.runner().traits().own_kernel || self.writes_through()
    }

    /// The backend.
    pub fn runner(&self) -> RunnerKind {
        self.platform.runner()
    }
}

/// The limits of a build: the size of a microVM, the control groups of a container or sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The source of the memory limit.
    pub memory_from: LimitSource,
}

/// Whether steps reach a network: `--network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Through the host, with the rights of the user that runs kiln.
    On,
    /// No network but loopback.
    Off,
}

/// Whether steps reach services on the host's loopback: `--host-loopback`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum HostLoopback {
    /// By SLIRP's address of the host (10.0.2.2).
    On,
    /// Only the ports of proxies, which kiln relays.
    Off,
}

/// Whether the shell prints each command it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trace {
    /// `set -x`.
    On,
    /// Without `-x`.
    Off,
}

/// The users to whom files belong: in the guest the step's user, on the host the user that runs kiln.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// The step's user: uid.
    pub guest_uid: u32,
    /// The step's user: gid.
    pub guest_gid: u32,
    /// The invoking user: uid.
    pub uid: u32,
    /// The invoking user: gid.
    pub gid: u32,
}

impl Owner {
    /// The step's user: uid and gid.
    pub fn ids(self) -> (u32, u32) {
        (self.guest_uid, self.guest_gid)
    }
}

/// A package or subpackage that is exported from the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactPlan {
    /// Its name: the directory below [`OUTPUT`].
    pub package: String,
    /// The name of its file, without the ending: `name-version-rN`.
    pub file_stem: String,
}
