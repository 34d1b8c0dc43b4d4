//! Docker's part of the plan: binds at their final paths. The agent only makes directories and changes owners. Pure.
//!
//! dockerd mounts the root and the overlays (with its local volume driver), so the container needs no privilege. The upper
//! directories of overlays are in volumes below [`VOLUMES`], read-only and for the agent only.
//!
//! Files on the host belong to the user that runs kiln, and ids are not mapped. If the step's user is another one, the agent changes
//! the owner of source (in its overlay) and cache at the start, and of the cache back at the end.

use kiln_protocol::{Access, ChownScope, GuestConfig, MemoryCounter, Mount, OnExit};

use crate::{
    exit::Failure,
    plan::{
        Bind, BindSource, CACHE, CacheMount, HostLoopback, Layer, Network, Overlay, Owner, Platform,
        PlatformRules, RulesInput, STAGING, Subset, Upper, WORKSPACE, Writes, bind, capability, cargo,
        guest_config::{self, AGENT, GuestInput, RESOLVER},
    },
};

/// The directory below which the volumes of overlays are mounted.
const VOLUMES: &str = "/kiln-volumes";

/// Docker's part of the plan, which needs no fact of the host.
#[derive(Debug, Clone, Copy)]
pub struct ContainerRules;

impl PlatformRules for ContainerRules {
    fn plan(
        &self,
        input: RulesInput<'_>,
        guest: GuestInput<'_>,
        notes: &mut Vec<String>,
    ) -> Result<(Platform, GuestConfig), Failure> {
        notes.extend(copy_note(guest.cache, guest.owner));
        notes.extend(loopback_note(input.options.host_loopback));
        notes.extend(capability::note_of_container(&guest.capabilities));
        Ok((Platform::Docker(binds(&guest)), guest_config(guest)))
    }
}

/// The binds of a container. Its root is the image, which the runner imports into docker.
fn binds(guest: &GuestInput<'_>) -> Vec<Bind> {
    let mut binds = vec![bind(BindSource::Agent, AGENT, Writes::Refused)];
    if let Some(source) = guest.source {
        let layer = Layer { hidden: guest.hidden.clone(), subset: None };
        let writes = overlaid(layer, "source", Upper::Discarded);
        binds.push(bind(BindSource::Directory(source.into()), WORKSPACE, writes));
    }
    if let Some(cache) = guest.cache {
        binds.extend(cache_binds(cache));
    }
    binds
}

fn overlaid(layer: Layer, name: &str, upper: Upper) -> Writes {
    Writes::Overlaid(Overlay { layer, volumes: format!("{VOLUMES}/{name}"), upper })
}

/// The cache, and Cargo's directory in it: a new one with two of the cache's directories, or in an overlay one in which only
/// those two are visible (a commit keeps nothing else of it).
fn cache_binds(cache: &CacheMount) -> Vec<Bind> {
    let directory = &cache.directory;
    let shown = cargo::DOWNLOADS.map(str::to_owned).to_vec();
    let hidden = vec![STAGING.to_owned()];
    let layer = Layer { hidden, subset: Some(Subset { directory: cargo::HOME.into(), shown }) };
    let (whole, writes) = match (cache.access, cache.step_access) {
        (Access::ReadWrite, _) => (Writes::Through, Writes::Through),
        (Access::ReadOnly, Access::ReadOnly) => (Writes::ReadOnlyOverlay(layer), Writes::Refused),
        (Access::ReadOnly, Access::ReadWrite) => {
            let upper = if cache.commits() { Upper::Read } else { Upper::Discarded };
            let writes = overlaid(layer, "cache", upper);
            return vec![bind(BindSource::Directory(directory.clone()), CACHE, writes)];
        }
    };
    let home = format!("{CACHE}/{}", cargo::HOME);
    let downloads = cargo::DOWNLOADS.map(|name| {
        let source =
            BindSource::Below { directory: directory.clone(), path: format!("{}/{name}", cargo::HOME) };
        bind(source, format!("{home}/{name}"), writes.clone())
    });
    let mut binds = vec![
        bind(BindSource::Directory(directory.clone()), CACHE, whole),
        bind(BindSource::Scratch, home, Writes::Through),
    ];
    binds.extend(downloads);
    binds
}

/// The guest configuration. With a network, docker makes `/etc/resolv.conf`, with the address of its own resolver.
fn guest_config(guest: GuestInput<'_>) -> GuestConfig {
    let owner = guest.owner;
    let (uid, gid) = owner.ids();
    let mut mounts = vec![Mount::Directory { path: WORKSPACE.into(), mode: 0o755, uid, gid }];
    if binds(&guest).iter().any(|bind| matches!(bind.writes, Writes::Overlaid(_))) {
        mounts.push(Mount::Directory { path: VOLUMES.into(), mode: 0o700, uid: 0, gid: 0 });
    }
    if guest.source.is_some() {
        mounts.extend(chown(WORKSPACE, owner, ChownScope::Everything));
    }
    let mut on_exit = Vec::new();
    if let Some(cache) = guest.cache {
        mounts.extend(cache_mounts(cache, owner));
        if cache.writes_through() {
            // Directories that are bound into the cache are mounts of their own, which a chown does not cross.
            on_exit.extend(whole_cache().map(|path| OnExit::Chown { path, uid: owner.uid, gid: owner.gid }));
        }
    }
    let files = match guest.network {
        Network::On => Vec::new(),
        Network::Off => vec![guest_config::file(RESOLVER, String::new())],
    };
    // The agent may not use fanotify in a container: kiln counts reads on the host.
    let memory = Some(MemoryCounter::ControlGroup);
    GuestConfig { track_reads: None, memory, ..guest_config::base(guest, mounts, files, on_exit) }
}

fn cache_mounts(cache: &CacheMount, owner: Owner) -> Vec<Mount> {
    let directory =
        |path: String| Mount::Directory { path, mode: 0o755, uid: owner.guest_uid, gid: owner.guest_gid };
    let home = format!("{CACHE}/{}", cargo::HOME);
    match (cache.access, cache.step_access) {
        (Access::ReadOnly, Access::ReadWrite) => {
            let mut mounts = vec![directory(CACHE.into())];
            mounts.extend(chown(CACHE, owner, cache_chown_scope(cache, owner)));
            mounts.extend(cargo::ensure_downloads(&home, owner));
            let path = format!("{VOLUMES}/cache/upper");
            mounts.push(Mount::Upper { target: CACHE.into(), path });
            mounts
        }
        (Access::ReadWrite, _) => {
            let whole = whole_cache().flat_map(|path| chown(&path, owner, ChownScope::Everything));
            let mut mounts: Vec<Mount> = whole.collect();
            mounts.push(directory(home.clone()));
            mounts.extend(cargo::lock_links(&home));
            mounts
        }
        (Access::ReadOnly, Access::ReadOnly) => vec![directory(home)],
    }
}

/// The cache, and the directories that are bound into it.
fn whole_cache() -> impl Iterator<Item = String> {
    let below = cargo::DOWNLOADS.map(|name| format!("{CACHE}/{}/{name}", cargo::HOME));
    std::iter::once(CACHE.to_owned()).chain(below)
}

fn chown(path: &str, owner: Owner, scope: ChownScope) -> Option<Mount> {
    let (uid, gid) = owner.ids();
    (owner.uid != uid).then(|| Mount::Chown { path: path.into(), uid, gid, scope })
}

/// The part of the cache whose owner becomes the step's user. In the upper directory of a commit a file with another owner is a
/// complete copy. Root can read and write all files, so only the directories change, since tools check their owner.
fn cache_chown_scope(cache: &CacheMount, owner: Owner) -> ChownScope {
    if cache.commits() && owner.guest_uid == 0 { ChownScope::Directories } else { ChownScope::Everything }
}

/// The note on a copy of the whole cache, for an ordinary user. If kiln is root, the runner may avoid the copy.
fn copy_note(cache: Option<&CacheMount>, owner: Owner) -> Option<String> {
    let cache = cache.filter(|cache| cache.commits() && owner.uid != owner.guest_uid)?;
    (owner.uid != 0 && cache_chown_scope(cache, owner) == ChownScope::Everything).then(|| {
        format!(
            "the container copies the whole cache, to change the owner of its files from uid {} to uid {} of the steps \
             (--cache-mode rw does not copy)",
            owner.uid, owner.guest_uid
        )
    })
}

/// docker's bridge has no address for the host's loopback.
fn loopback_note(host_loopback: HostLoopback) -> Option<String> {
    match host_loopback {
        HostLoopback::Off => None,
        HostLoopback::On => Some(
            "docker: --host-loopback on has no effect: a container reaches what listens on the address of docker's bridge".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{
        CacheMode,
        fixtures::{cache, guest},
    };

    #[test]
    fn the_cache_and_its_binds_change_their_owner_and_change_back() {
        let cache = cache(CacheMode::Rw);
        let paths = [CACHE.to_owned(), format!("{CACHE}/cargo/registry"), format!("{CACHE}/cargo/git")];
        let chown_back = |path: &String| OnExit::Chown { path: path.clone(), uid: 0, gid: 0 };
        let config = guest_config(guest(&cache, 1000));
        assert_eq!(config.on_exit, paths.iter().map(chown_back).collect::<Vec<_>>());
        for path in paths {
            assert!(config.mounts.contains(&Mount::Chown {
                path,
                uid: 1000,
                gid: 1000,
                scope: ChownScope::Everything
            }));
        }
    }

    #[test]
    fn steps_see_only_downloads_of_cargos_directory() {
        for (mode, expected) in [
            (CacheMode::Rw, vec!["", "/cargo", "/cargo/registry", "/cargo/git"]),
            (CacheMode::Ro, vec!["", "/cargo", "/cargo/registry", "/cargo/git"]),
            (CacheMode::Discard, vec![""]),
            (CacheMode::Commit, vec![""]),
        ] {
            let cache = cache(mode);
            let binds = binds(&guest(&cache, 0));
            let targets: Vec<&str> =
                binds.iter().filter_map(|bind| bind.target.strip_prefix(CACHE)).collect();
            assert_eq!(targets, expected, "{mode:?}");
            let shows_cargo =
                |layer: &Layer| layer.subset.as_ref().is_some_and(|subset| subset.directory == "cargo");
            let is_subset = match &binds[2].writes {
                Writes::Overlaid(overlay) => shows_cargo(&overlay.layer),
                Writes::ReadOnlyOverlay(layer) => shows_cargo(layer),
                Writes::Through => binds[3].source == BindSource::Scratch,
                Writes::Refused => false,
            };
            assert!(is_subset, "{mode:?}: {binds:?}");
        }
    }

    #[test]
    fn a_commit_reads_the_upper_directory() {
        for (mode, expected) in [(CacheMode::Commit, Upper::Read), (CacheMode::Discard, Upper::Discarded)] {
            let cache = cache(mode);
            let Writes::Overlaid(overlay) = &binds(&guest(&cache, 0))[2].writes else { panic!("{mode:?}") };
            assert_eq!(overlay.upper, expected);
            let read = Mount::Upper { target: CACHE.into(), path: format!("{}/upper", overlay.volumes) };
            assert!(guest_config(guest(&cache, 0)).mounts.contains(&read));
        }
    }

    #[test]
    fn a_commit_copies_the_cache_only_for_another_user_and_notes_it() {
        let cache = cache(CacheMode::Commit);
        for (uid, inside, expected) in [
            (0, 0, None),
            (0, 1000, Some(ChownScope::Everything)),
            (4321, 1000, Some(ChownScope::Everything)),
            (1000, 0, Some(ChownScope::Directories)),
            (1000, 1000, None),
        ] {
            let owner = Owner { guest_uid: inside, guest_gid: inside, uid, gid: uid };
            let config = guest_config(GuestInput { owner, ..guest(&cache, inside) });
            let scope = config.mounts.iter().find_map(|mount| match mount {
                Mount::Chown { path, scope, .. } if path == CACHE => Some(*scope),
                _ => None,
            });
            assert_eq!(scope, expected, "{uid} {inside}");
            assert_eq!(copy_note(Some(&cache), owner).is_some(), uid == 4321);
        }
    }
}
