//! The world of a sandbox: what of the host is in it, and what the agent makes of that.
//!
//! A microVM is given devices; sandbox and [`container`](super::container) are given paths. Each [`Bind`] is put in place by
//! the runner before the agent starts, and nothing else of the host can be seen inside. Everything that steps can tell apart
//! (identities, files, hostname, capabilities, network) is the same as in a microVM and is made by the same agent.
//!
//! bwrap binds to the places of [`LOWER`], [`SCRATCH`] and [`SHARES`], which only the agent sees. It lays the overlays, and
//! makes the result the root.

use kiln_protocol::{Access, Closing, Mount, World};
use serde::Serialize;

use super::{
    Bind, BindSource, CacheWrites, Cgroup, Ids, Network, WORKSPACE, Writes,
    bind::bind,
    cgroup,
    limits::LIMITS,
    world::{self, LOWER, OverlayOptions, Parts, RESOLVER, ROOT, SCRATCH, SHARES},
};
use crate::host::cgroup::Cgroups;

/// Where the agent's own program lies until it has changed the root; in a container it stays there.
pub(super) const AGENT: &str = "/kiln-agent";
/// Where a sandbox's agent finds the image's file.
const IMAGE: &str = "/kiln-image";

/// How a sandbox's overlays are mounted by root of the machine. Its steps may make nodes of devices, not open them.
const OF_ROOT: OverlayOptions = OverlayOptions {
    usual: "nodev,metacopy=on,redirect_dir=on,volatile",
    alone: "nodev,metacopy=off,redirect_dir=on,volatile",
};
/// By root of a user namespace, who may not write `trusted` xattrs, nor refer to a lower file by one.
const OF_USER: OverlayOptions =
    OverlayOptions { usual: "nodev,userxattr,volatile", alone: "nodev,userxattr,volatile" };

fn share(name: &str) -> String {
    format!("{SHARES}/{name}")
}

/// What the image's root comes as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RootForm {
    /// Its erofs file, which the agent mounts.
    Image,
    /// Its tree, unpacked once.
    Tree,
}

/// A sandbox, as its runner makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sandbox {
    /// What of the host is in it.
    pub binds: Vec<Bind>,
    /// As whom it is made.
    pub ids: Ids,
    /// What the image's root comes as.
    pub root: RootForm,
    /// What limits it.
    pub groups: Vec<Cgroup>,
}

/// What happens to `run-as` without a range of ids.
pub(super) const ONE_USER: &str =
    "run-as: without a range in /etc/subuid a sandbox has one user: steps run as root inside";

/// What a sandbox does not do for its user.
pub(super) fn notes(network: Network, found: &Cgroups) -> Vec<String> {
    let mut notes: Vec<String> = cgroup::note(found).into_iter().collect();
    if network == Network::On {
        notes.push(
            "bubblewrap: the network is the host's, its loopback included (--network off has none)".into(),
        );
    }
    notes
}

/// What of the host is in a sandbox.
pub(super) fn binds(parts: &Parts<'_>, root: RootForm) -> Vec<Bind> {
    let place = match root {
        RootForm::Image => IMAGE,
        RootForm::Tree => LOWER,
    };
    let mut binds = vec![
        bind(BindSource::Agent, AGENT, Writes::Refused),
        bind(BindSource::Root, place, Writes::Refused),
        bind(BindSource::Scratch, SCRATCH, Writes::Through),
    ];
    if let Some(source) = parts.source {
        binds.push(bind(BindSource::Directory(source.into()), share("source"), Writes::Refused));
    }
    if let Some(cache) = parts.cache {
        let writes = match cache.mode.writes() {
            CacheWrites::Through => Writes::Through,
            CacheWrites::Refused | CacheWrites::Overlay => Writes::Refused,
        };
        binds.push(bind(BindSource::Directory(cache.directory.clone()), share("cache"), writes));
    }
    binds
}

/// The world of a sandbox: overlays over what is bound, and the root made of them.
pub(super) fn namespaces(parts: Parts<'_>, resolver: String, ids: Ids, root: RootForm) -> World {
    let owner = parts.owner;
    let options = match ids {
        Ids::Root => &OF_ROOT,
        Ids::Range | Ids::Sole => &OF_USER,
    };
    let mut mounts = Vec::new();
    if root == RootForm::Image {
        mounts.push(Mount::Filesystem {
            source: IMAGE.into(),
            target: LOWER.into(),
            fstype: "erofs".into(),
            options: String::new(),
            access: Access::ReadOnly,
        });
    }
    mounts.push(world::overlay(&[LOWER], "root", ROOT, (0, 0), options.usual));
    mounts.extend(translated(&parts, ids));
    mounts.extend(workspace(&parts, options));
    if let Some(cache) = parts.cache {
        mounts.extend(world::cache_over(&share("cache"), cache.mode.writes(), owner, options));
    }
    mounts.push(Mount::Pivot { path: ROOT.into() });
    mounts.extend(world::output(parts.package, owner));
    let resolver = match parts.network {
        Network::On => resolver,
        Network::Off => String::new(),
    };
    world(parts, mounts, vec![world::file(RESOLVER, resolver)], Vec::new())
}

/// Without a user namespace source and cache belong to who runs kiln, inside too: they are shown as the step's user's.
fn translated(parts: &Parts<'_>, ids: Ids) -> Vec<Mount> {
    let owner = parts.owner;
    let (outside, inside) = ((owner.uid, owner.gid), owner.ids());
    if ids != Ids::Root || outside == inside {
        return Vec::new();
    }
    let shares = [("source", parts.source.is_some()), ("cache", parts.cache.is_some())];
    let shares = shares.into_iter().filter(|(_, there)| *there);
    shares.map(|(name, _)| Mount::Swap { path: share(name), outside, inside }).collect()
}

fn workspace(parts: &Parts<'_>, options: &OverlayOptions) -> Vec<Mount> {
    let inside @ (uid, gid) = parts.owner.ids();
    let target = format!("{ROOT}{WORKSPACE}");
    if parts.source.is_none() {
        return vec![Mount::Directory { path: target, mode: 0o755, uid, gid }];
    }
    let source = share("source");
    let whiteouts = format!("{SCRATCH}/hidden");
    let overlay = |lower: &[&str]| world::overlay(lower, "source", &target, inside, options.usual);
    if parts.hidden.is_empty() {
        return vec![overlay(&[&source])];
    }
    let paths = parts.hidden.clone();
    let hide = Mount::Whiteouts { directory: whiteouts.clone(), like: source.clone(), paths };
    vec![hide, overlay(&[&whiteouts, &source])]
}

/// What the worlds of containers and sandboxes have in common.
pub(super) fn world(
    parts: Parts<'_>,
    mut mounts: Vec<Mount>,
    mut files: Vec<kiln_protocol::TextFile>,
    closing: Vec<Closing>,
) -> World {
    files.push(world::hosts(&parts.names));
    mounts.extend(parts.changes);
    World {
        // Clock, random pool, modules and network cards are the host's.
        clock_ns: None,
        entropy: Vec::new(),
        modules: Vec::new(),
        mounts,
        // The runner gives the name: in a container the agent may not.
        hostname: None,
        network: None,
        groups: parts.accounts.groups,
        identities: parts.accounts.identities,
        files,
        counted: world::counted(parts.cache),
        capabilities: Some(parts.capabilities),
        limits: LIMITS.to_vec(),
        closing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{
        CacheMode,
        fixtures::{cache, parts},
    };

    fn lines(binds: &[Bind]) -> Vec<String> {
        binds
            .iter()
            .map(|Bind { source, target, writes }| format!("{source:?} {target} {writes:?}"))
            .collect()
    }

    #[test]
    fn only_what_the_mode_allows_is_bound_for_writing() {
        for (mode, writes) in
            [(CacheMode::Rw, "Through"), (CacheMode::Ro, "Refused"), (CacheMode::Commit, "Refused")]
        {
            let cache = cache(mode);
            assert_eq!(
                lines(&binds(&parts(&cache, 0), RootForm::Tree)),
                [
                    "Agent /kiln-agent Refused".to_owned(),
                    "Root /lower Refused".into(),
                    "Scratch /scratch Through".into(),
                    "Directory(\"/s\") /shares/source Refused".into(),
                    format!("Directory(\"/c\") /shares/cache {writes}"),
                ]
            );
        }
    }

    #[test]
    fn owners_are_translated_only_where_no_namespace_does_it() {
        let cache = cache(CacheMode::Rw);
        for (ids, inside, expected) in
            [(Ids::Root, 1000, 2), (Ids::Root, 0, 0), (Ids::Range, 1000, 0), (Ids::Sole, 0, 0)]
        {
            let world = namespaces(parts(&cache, inside), String::new(), ids, RootForm::Tree);
            let swaps = world.mounts.iter().filter(|mount| matches!(mount, Mount::Swap { .. })).count();
            assert_eq!(swaps, expected, "{ids:?} {inside}");
            // Nothing of the host can be opened by a node that a step makes.
            assert!(world.mounts.iter().all(|mount| match mount {
                Mount::Overlay { options, .. } => options.starts_with("nodev,"),
                _ => true,
            }));
        }
    }
}
