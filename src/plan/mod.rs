//! Recipe + Host + options -> Plan: what will happen on this host, decided before anything happens.
//!
//! Pure: nothing here touches a file, a process or the clock; what must be known of the host comes in as values. A plan
//! holds no pid, socket, descriptor or key, and can be printed (`kiln plan`).

mod accelerator;
pub(crate) mod accounts;
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
mod packages;
mod platform;
mod quantity;
mod repositories;
mod resolve;
pub(crate) mod resources;
mod rules;
mod runner;
mod slirp;
mod steps;
mod unshare;
mod userinfo;

use std::{path::PathBuf, time::Duration};

use clap::ValueEnum;
use kiln_protocol::GuestConfig;
use serde::Serialize;

pub use crate::compile::{Origin, WORKSPACE};
pub use crate::ecosystem::CACHE;
pub use accelerator::{Accelerator, AcceleratorOption};
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
pub use options::{BuildOptions, CacheModeOption, VirtiofsOption};
pub use packages::{Mapped, SUITES, debian_packages, known_packages, map_packages, requests_for};
pub use platform::{Cgroup, Ids, Machine, Platform, RootForm, Sandbox};
pub use quantity::{Bytes, parse_bytes};
pub use repositories::{InsecureRepositories, allowed_repositories};
pub use resolve::{Facts, TCG_SLOWNESS, resolve};
pub use resources::LimitSource;
pub use resources::{check_memory, parse_cpus, parse_disk};
pub use rules::{PlatformRules, RulesInput};
pub use runner::{RunnerKind, RunnerTraits};
pub use slirp::Slirp;
pub use steps::{FRAGMENT, PlannedStep};
pub use unshare::user_namespace;

/// The uid and gid of the user `build`.
pub const BUILD_ID: u32 = 1000;
/// Below it each package has the directory that becomes its content.
pub const OUTPUT: &str = "/home/build/melange-out";
/// The tag of the source's share.
pub const SOURCE_TAG: &str = "kiln-source";
/// The tag of the cache's share.
pub const CACHE_TAG: &str = "kiln-cache";
/// The serial number of the disk that holds the root.
pub const ROOT_SERIAL: &str = "root";
/// The serial number of the scratch disk.
pub const SCRATCH_SERIAL: &str = "scratch";

/// What will happen.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What is built.
    pub package: PackageId,
    /// For which architecture, as apk spells it.
    pub arch: String,
    /// What the guest's root is made from.
    pub image: ImageRecipe,
    /// In what it runs.
    pub platform: Platform,
    /// What the build may use up.
    pub resources: Resources,
    /// Whether steps reach a network.
    pub network: Network,
    /// The host directory that appears in [`WORKSPACE`]; `None` for an empty one.
    pub source: Option<PathBuf>,
    /// The cache; `None` where there is none.
    pub cache: Option<CacheMount>,
    /// Who the steps run as, and with which files.
    pub owner: Owner,
    /// What the agent makes before the first step.
    pub guest_config: GuestConfig,
    /// What the agent is given of the host's once that stands.
    pub host_settings: HostSettings,
    /// What runs, in this order.
    pub steps: Vec<PlannedStep>,
    /// What leaves the guest.
    pub artifacts: Vec<ArtifactPlan>,
    /// The time that everything in the packages bears, in seconds since the epoch: `SOURCE_DATE_EPOCH`.
    pub build_date: i64,
    /// The uid and gid of the user that builds run as; in packages the user's files belong to root.
    pub build_ids: (u32, u32),
    /// Where it is written: `<out-dir>/<arch>`.
    pub out_dir: PathBuf,
    /// How long the guest may take until it says `Hello`.
    pub boot_timeout: Duration,
    /// How long all steps together may take.
    pub timeout: Option<Duration>,
    /// Lines for the user: what was passed over or chosen, and why.
    pub notes: Vec<String>,
}

impl Plan {
    /// Where the overlay is mounted into which the build writes what it adds to the cache, as the guest configuration names it.
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

/// What is built.
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
    /// Whether what the build writes into the cache reaches the host's directory as it is written.
    pub fn writes_through(&self) -> bool {
        self.cache.as_ref().is_some_and(CacheMount::writes_through)
    }

    /// Whether what the build left has to be told to end, so that nothing is lost. A microVM through which nothing was
    /// written to the host holds nothing back once its packages have left.
    pub fn needs_shutdown(&self) -> bool {
        !self.runner().traits().own_kernel || self.writes_through()
    }

    /// The backend.
    pub fn runner(&self) -> RunnerKind {
        self.platform.runner()
    }
}

/// What a build may use up: the size of the machine, the limits of a container or sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// What set it.
    pub memory_from: LimitSource,
}

/// Whether steps reach a network: `--network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Through the host, as its user.
    On,
    /// None at all.
    Off,
}

/// Whether steps reach what listens on the host's loopback: `--host-loopback`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum HostLoopback {
    /// By SLIRP's address of the host (10.0.2.2).
    On,
    /// Not, but for the ports of proxies that kiln relays.
    Off,
}

/// Whether the shell prints each command it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trace {
    /// `set -x`.
    On,
    /// Not.
    Off,
}

/// Whose files are whose: inside they belong to the step's user, outside to the user who runs kiln.
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

/// A package or subpackage that leaves the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactPlan {
    /// Its name: the directory below [`OUTPUT`].
    pub package: String,
    /// The name of its file, without the ending: `name-version-rN`.
    pub file_stem: String,
}
