//! The configuration of the guest, as far as all backends share it: what the agent mounts, makes and sets before the first step.
//!
//! The room of each backend adds its own mounts. Until the root is changed to [`ROOT`] all paths are those of the agent's first
//! root, so that no step can see a lower or an upper directory.

use std::{collections::BTreeSet, path::Path};

use kiln_protocol::{Group, GuestConfig, Identity, IfExists, Mount, OnExit, TextFile};

use super::{CACHE, CacheMount, Network, OUTPUT, Owner, WORKSPACE, limits::LIMITS};

/// The agent's program in a container, and in a sandbox until the agent has changed the root.
pub(crate) const AGENT: &str = "/kiln-agent";
/// The image's root, read-only.
pub(crate) const LOWER: &str = "/lower";
/// The scratch disk or directory.
pub(crate) const SCRATCH: &str = "/scratch";
/// Below it lie the source's and the cache's directories.
pub(crate) const SHARES: &str = "/shares";
/// The directory that becomes the root.
pub(crate) const ROOT: &str = "/newroot";

/// How a backend's agent mounts overlays. What is thrown away needs no flush: `volatile`.
pub(crate) struct OverlayOptions {
    /// Whether device files below an overlay cannot be opened.
    pub(crate) nodev: bool,
    /// Of the root and the workspace: copying as little as possible.
    pub(crate) usual: &'static str,
    /// Of a cache whose writes are thrown away: a file that a step has changed is a whole one, so that later reads cost no more.
    pub(crate) discarded: &'static str,
    /// Of a cache whose upper directory a commit reads: no file there refers to the lower one. A directory that was renamed does;
    /// it is read in the overlay.
    pub(crate) committed: &'static str,
}

impl OverlayOptions {
    /// Of the root and the workspace.
    pub(crate) fn usual(&self) -> (bool, &'static str) {
        (self.nodev, self.usual)
    }

    /// Of the cache.
    pub(crate) fn of_cache(&self, cache: &CacheMount) -> (bool, &'static str) {
        (self.nodev, if cache.commits() { self.committed } else { self.discarded })
    }
}

/// What the guest's configuration is made from.
pub struct GuestInput<'a> {
    /// The source directory of the host.
    pub source: Option<&'a Path>,
    /// Paths of the source that steps do not see.
    pub hidden: Vec<String>,
    /// The cache.
    pub cache: Option<&'a CacheMount>,
    /// Whose files are whose.
    pub owner: Owner,
    /// Whether steps reach a network.
    pub network: Network,
    /// Users that must exist.
    pub identities: Vec<Identity>,
    /// Groups that must exist.
    pub groups: Vec<Group>,
    /// What is made in the root before the first step.
    pub changes: Vec<Mount>,
    /// The name of the package.
    pub package: &'a str,
    /// The capabilities of steps.
    pub capabilities: Vec<u8>,
    /// Names of loopback, besides `localhost`.
    pub names: BTreeSet<String>,
}

/// The configuration with these mounts and files, then those of every backend. Clock, random pool, modules, network card,
/// hostname and control groups are left alone: in containers and sandboxes they are the host's, or the runner sets them.
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

/// The table of mounted file systems where df(1) of some systems, Java and configure scripts look for it. Debian's installer
/// makes this link, and its packages do not. docker's own, in a container, leads to `/proc/mounts`.
fn mtab() -> Mount {
    Mount::Symlink { path: "/etc/mtab".into(), target: "../proc/self/mounts".into() }
}

/// Where steps leave what becomes the package.
fn output(package: &str, owner: Owner) -> impl Iterator<Item = Mount> {
    [OUTPUT.to_owned(), format!("{OUTPUT}/{package}")]
        .map(|path| Mount::Directory { path, mode: 0o755, uid: owner.guest_uid, gid: owner.guest_gid })
        .into_iter()
}

/// Where steps write what may take much room: a name for each file system that can be one of its own.
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

/// Where programs look for name servers.
pub(crate) const RESOLVER: &str = "/etc/resolv.conf";
/// What every guest, container and sandbox is called.
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

/// Hidden paths as the agent takes them; those that are not UTF-8 cannot be named and stay visible.
pub(crate) fn hidden(paths: &[std::path::PathBuf]) -> Vec<String> {
    paths.iter().filter_map(|path| Path::to_str(path)).map(str::to_owned).collect()
}
