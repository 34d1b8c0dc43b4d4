//! The part of the guest's configuration that all backends share: mounts, files and settings that the agent makes before the
//! first step.
//!
//! Each backend adds its own mounts. Until the root is changed to [`ROOT`] all paths are those of the agent's first root, so
//! that no step can see a lower or an upper directory.

use std::{collections::BTreeSet, path::Path};

use kiln_protocol::{Group, GuestConfig, Identity, IfExists, Mount, OnExit, TextFile};

use super::{CACHE, CacheMount, Network, OUTPUT, Owner, WORKSPACE, limits::LIMITS};

/// The agent's program in a container, and in a sandbox until the agent has changed the root.
pub(crate) const AGENT: &str = "/kiln-agent";
/// The image's root, read-only.
pub(crate) const LOWER: &str = "/lower";
/// The scratch disk or directory.
pub(crate) const SCRATCH: &str = "/scratch";
/// The directory below which source and cache are mounted.
pub(crate) const SHARES: &str = "/shares";
/// The directory that becomes the root.
pub(crate) const ROOT: &str = "/newroot";

/// How a backend's agent mounts overlays. Upper directories that are discarded need no flush: `volatile`.
pub(crate) struct OverlayOptions {
    /// Whether device files below an overlay cannot be opened.
    pub(crate) nodev: bool,
    /// Options of the root and the workspace, which copy as little as possible.
    pub(crate) usual: &'static str,
    /// Options of a cache whose writes are discarded: a changed file is copied up with its data, so that later reads cost no more.
    pub(crate) discarded: &'static str,
    /// Options of a cache whose upper directory a commit reads: no file there refers to the lower layer. A renamed directory does;
    /// the commit reads it in the overlay.
    pub(crate) committed: &'static str,
}

impl OverlayOptions {
    /// The options of the root and the workspace.
    pub(crate) fn usual(&self) -> (bool, &'static str) {
        (self.nodev, self.usual)
    }

    /// The options of the cache.
    pub(crate) fn of_cache(&self, cache: &CacheMount) -> (bool, &'static str) {
        (self.nodev, if cache.commits() { self.committed } else { self.discarded })
    }
}

/// The input of the guest's configuration.
pub struct GuestInput<'a> {
    /// The source directory of the host.
    pub source: Option<&'a Path>,
    /// Paths of the source that steps do not see.
    pub hidden: Vec<String>,
    /// The cache.
    pub cache: Option<&'a CacheMount>,
    /// The users to whom files belong.
    pub owner: Owner,
    /// Whether steps reach a network.
    pub network: Network,
    /// Users that must exist.
    pub identities: Vec<Identity>,
    /// Groups that must exist.
    pub groups: Vec<Group>,
    /// The changes of the root before the first step.
    pub changes: Vec<Mount>,
    /// The name of the package.
    pub package: &'a str,
    /// The capabilities of steps.
    pub capabilities: Vec<u8>,
    /// Names of loopback, besides `localhost`.
    pub names: BTreeSet<String>,
}

/// The configuration with these mounts and files, then those of every backend. It does not set clock, random pool, modules,
/// network card, hostname and control groups: in containers and sandboxes they are the host's, or the runner sets them.
pub(crate) fn base(
    guest: GuestInput<'_>,
    mut mounts: Vec<Mount>,
    mut files: Vec<TextFile>,
    on_exit: Vec<OnExit>,
) -> GuestConfig {
    mounts.extend(output(guest.package, guest.owner));
    mounts.push(mtab());
    mounts.extend(guest.changes);
    files.push(hosts(&guest.names));
    GuestConfig {
        clock_ns: None,
        late_devices: false,
        entropy: Vec::new(),
        modules: Vec::new(),
        mounts,
        hostname: None,
        network: None,
        groups: guest.groups,
        identities: guest.identities,
        files,
        capabilities: Some(guest.capabilities),
        track_reads: guest.cache.map(|_| CACHE.to_owned()),
        memory: None,
        written: written(guest.cache),
        limits: LIMITS.to_vec(),
        user_namespace: None,
        seccomp: Vec::new(),
        on_exit,
    }
}

/// `/etc/mtab`, which df(1) of some systems, Java and configure scripts read. Debian's installer makes this link, its packages do
/// not. In a container docker makes a link to `/proc/mounts`.
fn mtab() -> Mount {
    Mount::Symlink { path: "/etc/mtab".into(), target: "../proc/self/mounts".into() }
}

/// The directory in which steps put the content of the package.
fn output(package: &str, owner: Owner) -> impl Iterator<Item = Mount> {
    [OUTPUT.to_owned(), format!("{OUTPUT}/{package}")]
        .map(|path| Mount::Directory { path, mode: 0o755, uid: owner.guest_uid, gid: owner.guest_gid })
        .into_iter()
}

/// The directories to which steps write most: one for each file system that can be full.
fn written(cache: Option<&CacheMount>) -> Vec<String> {
    let through = cache.filter(|cache| cache.writes_through()).map(|_| CACHE);
    ["/", WORKSPACE].into_iter().chain(through).map(str::to_owned).collect()
}

/// The workspace: the source with an overlay above it, or an empty directory.
pub(crate) fn workspace(guest: &GuestInput<'_>, options: &OverlayOptions) -> Vec<Mount> {
    let GuestInput { source, hidden, owner, .. } = guest;
    let target = format!("{ROOT}{WORKSPACE}");
    if source.is_none() {
        let (uid, gid) = owner.ids();
        return vec![Mount::Directory { path: target, mode: 0o755, uid, gid }];
    }
    let share = format!("{SHARES}/source");
    let whiteouts = format!("{SCRATCH}/hidden");
    let over = |lower: &[&str]| overlay(lower, "source", &target, owner.ids(), options.usual());
    if hidden.is_empty() {
        return vec![over(&[&share])];
    }
    let paths = hidden.clone();
    let hide = Mount::Whiteouts { directory: whiteouts.clone(), like: share.clone(), paths };
    vec![hide, over(&[&whiteouts, &share])]
}

/// An overlay above `lower`, topmost first, whose writes go to the directory `name` of the scratch disk.
pub(crate) fn overlay(
    lower: &[&str],
    name: &str,
    target: &str,
    owner: (u32, u32),
    (nodev, options): (bool, &str),
) -> Mount {
    Mount::Overlay {
        lower: lower.iter().map(|path| (*path).to_owned()).collect(),
        upper: format!("{SCRATCH}/{name}/upper"),
        work: format!("{SCRATCH}/{name}/work"),
        target: target.into(),
        options: options.into(),
        nodev,
        owner,
    }
}

/// The file of name servers (resolv.conf(5)).
pub(crate) const RESOLVER: &str = "/etc/resolv.conf";
/// The hostname of every guest.
pub const HOSTNAME: &str = "kiln";

/// A file that every user can read.
pub(crate) fn file(path: &str, text: String) -> TextFile {
    TextFile { path: path.into(), text, if_exists: IfExists::Replace, mode: 0o644 }
}

/// `/etc/hosts`, the same in every backend.
fn hosts(names: &BTreeSet<String>) -> TextFile {
    let more: String = names.iter().flat_map(|name| [" ", name]).collect();
    file("/etc/hosts", format!("127.0.0.1\tlocalhost {HOSTNAME}{more}\n::1\tlocalhost{more}\n"))
}

/// Hidden paths as text. Paths that are not UTF-8 are left out, and stay visible.
pub(crate) fn hidden(paths: &[std::path::PathBuf]) -> Vec<String> {
    paths.iter().filter_map(|path| Path::to_str(path)).map(str::to_owned).collect()
}
