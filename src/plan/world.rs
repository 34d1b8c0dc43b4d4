//! The world of a microVM: what the agent mounts and writes before the first step.
//!
//! The root is a read-only erofs with an overlay on the scratch disk; source and cache are shares. Until `Mount::Root`
//! paths are those of the initramfs, so that neither lower nor upper directories can be seen by a step.

use std::{collections::BTreeSet, path::Path};

use kiln_protocol::{Access, GuestConfig, IfExists, MemoryCounter, Mount, Network as GuestNetwork, TextFile};

use super::{
    CACHE, CacheMount, HostLoopback, Machine, Network, OUTPUT, Owner, ROOT_SERIAL, SCRATCH_SERIAL,
    SOURCE_TAG, WORKSPACE, accounts::Accounts, cache, limits::LIMITS,
};

/// Where the parts are mounted before the root is made of them.
pub(super) const LOWER: &str = "/lower";
pub(super) const SCRATCH: &str = "/scratch";
pub(super) const SHARES: &str = "/shares";
pub(super) const ROOT: &str = "/newroot";

/// The largest message size that virtio's 9p transport takes: more is cut by the guest's kernel to exactly this.
const NINE_P_MSIZE: u32 = 512_000;

/// Some networks on the way drop packets of 1500 bytes without a word (melange #2411).
const MTU: u32 = 1400;

/// How overlays are mounted. What is thrown away needs no flush: `volatile`.
pub(super) struct OverlayOptions {
    /// Copying as little as possible.
    pub usual: &'static str,
    /// Those of a cache whose writes are thrown away: a file that was changed is a whole one, so that a look at it costs no more.
    pub discarded: &'static str,
    /// So that no file in the upper directory leans on the lower one: a commit reads it. A directory that was renamed does: it is
    /// read in the overlay.
    pub committed: &'static str,
}

/// By the kernel's root.
pub(super) const OF_ROOT: OverlayOptions = OverlayOptions {
    usual: "metacopy=on,redirect_dir=on,volatile",
    discarded: "metacopy=off,redirect_dir=on,volatile",
    committed: "metacopy=off,redirect_dir=on,volatile",
};

/// What the world is made of.
pub(super) struct Parts<'a> {
    pub source: Option<&'a Path>,
    pub hidden: Vec<String>,
    pub cache: Option<&'a CacheMount>,
    pub owner: Owner,
    pub network: Network,
    pub accounts: Accounts,
    /// What is made in the root before the first step.
    pub changes: Vec<Mount>,
    pub package: &'a str,
    pub capabilities: Vec<u8>,
    /// Of loopback, besides `localhost`.
    pub names: BTreeSet<String>,
}

/// The world of a microVM. The clock and entropy are set when it is launched.
pub(super) fn microvm(modules: Vec<String>, machine: &Machine, parts: Parts<'_>) -> GuestConfig {
    let Parts { source, hidden, cache, owner, network, accounts, changes, package, capabilities, names } =
        parts;
    let mut mounts = root();
    mounts.extend(workspace(source.is_some(), hidden, owner));
    mounts.extend(cache.into_iter().flat_map(|cache| cache::mounts(cache, owner)));
    mounts.push(Mount::Root { path: ROOT.into() });
    mounts.push(mtab());
    mounts.extend(output(package, owner));
    mounts.extend(changes);
    let resolver = match network {
        Network::On => machine.slirp.resolver(),
        Network::Off => String::new(),
    };
    GuestConfig {
        clock_ns: None,
        entropy: Vec::new(),
        modules,
        mounts,
        hostname: Some(HOSTNAME.into()),
        network: guest_network(network, machine),
        groups: accounts.groups,
        identities: accounts.identities,
        files: vec![file(RESOLVER, resolver), hosts(&names)],
        capabilities: Some(capabilities),
        counted: counted(cache),
        memory: Some(MemoryCounter::Machine),
        written: written(cache),
        limits: LIMITS.to_vec(),
        // The guest is the border.
        user_namespace: None,
        seccomp: Vec::new(),
        closing: Vec::new(),
    }
}

/// The table of mounted file systems where df(1) of some systems, Java and configure scripts look for it. Debian's installer
/// makes this link, and its packages do not. docker's own, in a container, leads to `/proc/mounts`.
pub(super) fn mtab() -> Mount {
    Mount::Symlink { path: "/etc/mtab".into(), target: "../proc/self/mounts".into() }
}

/// Where steps leave what becomes the package.
pub(super) fn output(package: &str, owner: Owner) -> impl Iterator<Item = Mount> {
    [OUTPUT.to_owned(), format!("{OUTPUT}/{package}")]
        .map(|path| Mount::Directory { path, mode: 0o755, uid: owner.inside, gid: owner.inside_gid })
        .into_iter()
}

/// Where reads are counted: in the cache, as steps see it.
pub(super) fn counted(cache: Option<&CacheMount>) -> Option<String> {
    cache.map(|_| CACHE.to_owned())
}

/// Where steps write what may take much room: a name for each file system that can be one of its own.
pub(super) fn written(cache: Option<&CacheMount>) -> Vec<String> {
    let through = cache.filter(|cache| cache.writes_through()).map(|_| CACHE);
    ["/", WORKSPACE].into_iter().chain(through).map(str::to_owned).collect()
}

fn root() -> Vec<Mount> {
    vec![
        Mount::Filesystem {
            source: format!("serial:{ROOT_SERIAL}"),
            target: LOWER.into(),
            fstype: "erofs".into(),
            options: String::new(),
            access: Access::ReadOnly,
        },
        Mount::Filesystem {
            source: format!("serial:{SCRATCH_SERIAL}"),
            target: SCRATCH.into(),
            fstype: "ext4".into(),
            // The disk is thrown away: no barriers; nothing is written to it but what the build writes.
            options: "noinit_itable,nobarrier,nodiscard".into(),
            access: Access::ReadWrite,
        },
        overlay(&[LOWER], "root", ROOT, (0, 0), OF_ROOT.usual),
    ]
}

fn workspace(has_source: bool, hidden: Vec<String>, owner: Owner) -> Vec<Mount> {
    let target = format!("{ROOT}{WORKSPACE}");
    if !has_source {
        let (uid, gid) = owner.ids();
        return vec![Mount::Directory { path: target, mode: 0o755, uid, gid }];
    }
    let share = format!("{SHARES}/source");
    let mut mounts = vec![nine_p(SOURCE_TAG, &share)];
    let mut lower = vec![share.as_str()];
    let whiteouts = format!("{SCRATCH}/hidden");
    if !hidden.is_empty() {
        mounts.push(Mount::Whiteouts { directory: whiteouts.clone(), like: share.clone(), paths: hidden });
        lower.insert(0, &whiteouts);
    }
    mounts.push(overlay(&lower, "source", &target, owner.ids(), OF_ROOT.usual));
    mounts
}

fn nine_p(tag: &str, target: &str) -> Mount {
    nine_p_with(tag, target, Access::ReadOnly)
}

pub(super) fn nine_p_with(tag: &str, target: &str, access: Access) -> Mount {
    // A tree that this guest alone writes may be cached without asking again; one that is written through may be
    // changed by other builds, so only mapped files are cached (`loose` was seen to return zeros there).
    let cache = match access {
        Access::ReadOnly => "loose",
        Access::ReadWrite => "mmap",
    };
    Mount::Filesystem {
        source: tag.into(),
        target: target.into(),
        fstype: "9p".into(),
        options: format!("trans=virtio,version=9p2000.L,msize={NINE_P_MSIZE},cache={cache}"),
        access,
    }
}

pub(super) fn overlay(lower: &[&str], name: &str, target: &str, owner: (u32, u32), options: &str) -> Mount {
    Mount::Overlay {
        lower: lower.iter().map(|path| (*path).to_owned()).collect(),
        upper: format!("{SCRATCH}/{name}/upper"),
        work: format!("{SCRATCH}/{name}/work"),
        target: target.into(),
        options: options.into(),
        owner,
    }
}

fn guest_network(network: Network, machine: &Machine) -> Option<GuestNetwork> {
    let slirp = &machine.slirp;
    match network {
        Network::Off => None,
        Network::On => Some(GuestNetwork {
            address: slirp.guest(),
            prefix: slirp.prefix(),
            // SLIRP routes whatever reaches it. The name server as next hop leaves the host's address free to be
            // prohibited: that is no border, which is kiln's packet filter, but an error at once instead of a time-out.
            gateway: slirp.name_server(),
            prohibited: match machine.host_loopback {
                HostLoopback::Off => vec![slirp.host()],
                HostLoopback::On => Vec::new(),
            },
            mtu: MTU,
        }),
    }
}

/// Where programs look for name servers.
pub(super) const RESOLVER: &str = "/etc/resolv.conf";
/// What every guest, container and sandbox is called.
pub const HOSTNAME: &str = "kiln";

/// A file that everybody can read.
pub(super) fn file(path: &str, text: String) -> TextFile {
    TextFile { path: path.into(), text, held: IfExists::Goes, mode: 0o644 }
}

/// `/etc/hosts`, the same in every backend.
pub(super) fn hosts(names: &BTreeSet<String>) -> TextFile {
    let more: String = names.iter().flat_map(|name| [" ", name]).collect();
    file("/etc/hosts", format!("127.0.0.1\tlocalhost {HOSTNAME}{more}\n::1\tlocalhost{more}\n"))
}

/// Hidden paths as the agent takes them; those that are not UTF-8 cannot be named and stay visible.
pub(super) fn hidden(paths: &[std::path::PathBuf]) -> Vec<String> {
    paths.iter().filter_map(|path| Path::to_str(path)).map(str::to_owned).collect()
}
