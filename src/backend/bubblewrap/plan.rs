//! A sandbox's part of the plan: its binds, and the guest configuration. Pure.
//!
//! A microVM has devices; a sandbox and a container have binds. The runner mounts each [`Bind`] before the agent starts, and
//! nothing else of the host is visible. Everything that steps can see of the guest (identities, files, hostname, capabilities,
//! network) is the same as in a microVM and is made by the same agent.
//!
//! bwrap binds to [`LOWER`], [`SCRATCH`] and paths below [`SHARES`], which only the agent sees. The agent mounts the overlays, and
//! makes the result the root.

use kiln_protocol::{Access, GuestConfig, IdRange, Mount, MountSource, NetworkNamespace, UserNamespace};

use super::{cgroup_files, seccomp};
use crate::{
    exit::Failure,
    host::cgroup::Cgroups,
    plan::{
        Bind, BindSource, Ids, Network, Platform, PlatformRules, RootForm, RulesInput, Sandbox, Writes, bind,
        cache,
        guest_config::{self, AGENT, GuestInput, LOWER, OverlayOptions, RESOLVER, ROOT, SCRATCH, SHARES},
    },
};

/// The path of the image's file in the sandbox.
const IMAGE: &str = "/kiln-image";

/// The first host id of a sandbox that root of the machine makes: root of the sandbox is this id, its user 1000 is this id + 1000.
///
/// Root has rights without capabilities, too. The kernel lets uid 0 write files of root (control groups of version 1, settings
/// below /proc/sys, the nodes in /dev), and daemons check the uid of a socket's peer (containerd did, in the network namespace of
/// the host, which a sandbox shares: CVE-2020-15257). So no user of a sandbox has the id of a user of the host. These ids are free:
/// systemd's "UIDs, GIDs" reserves those above 2^31 for no use, and distributions, directory services and subuid(5) assign lower
/// ones. Files with these ids exist only in the scratch directory of a run. In directories that stay (source, cache, image)
/// idmapped mounts translate them (Linux 5.19 for layers of an overlay).
const FIRST_ID: u32 = 1 << 31;

/// The overlays of a sandbox that root of the machine makes. Its steps may make device nodes and not open them. The agent reads the
/// upper directory of a commit as root of the sandbox only, and may not read `trusted` xattrs.
const OVERLAYS_OF_ROOT: OverlayOptions = OverlayOptions {
    nodev: true,
    usual: "metacopy=on,redirect_dir=on,volatile",
    discarded: "metacopy=off,redirect_dir=on,volatile",
    committed: "userxattr,volatile",
};
/// The overlays of a sandbox that an ordinary user makes: root of a user namespace may not write `trusted` xattrs.
const OVERLAYS_OF_USER: OverlayOptions = OverlayOptions {
    nodev: true,
    usual: "userxattr,volatile",
    discarded: "userxattr,volatile",
    committed: "userxattr,volatile",
};

fn share(name: &str) -> String {
    format!("{SHARES}/{name}")
}

/// Bubblewrap's part of the plan, with the facts of its probe.
#[derive(Debug, Clone)]
pub struct SandboxRules {
    /// The host's `/etc/resolv.conf`: its network is the sandbox's.
    pub resolver: String,
    /// The user ids with which it is made.
    pub ids: Ids,
    /// The form of the image's root.
    pub root: RootForm,
    /// The control groups in which its limits can be set.
    pub cgroups: Cgroups,
}

impl PlatformRules for SandboxRules {
    fn ids(&self) -> Option<Ids> {
        Some(self.ids)
    }

    fn plan(
        &self,
        input: RulesInput<'_>,
        guest: GuestInput<'_>,
        notes: &mut Vec<String>,
    ) -> Result<(Platform, GuestConfig), Failure> {
        let Self { resolver, ids, root, cgroups } = self;
        notes.extend(self::notes(input.options.network, cgroups));
        let groups = cgroup_files::groups(cgroups, input.resources);
        let binds = binds(&guest, *root);
        let config = guest_config(guest, resolver, *ids, *root)?;
        Ok((Platform::Bubblewrap(Sandbox { binds, ids: *ids, root: *root, groups }), config))
    }
}

/// The notes on a sandbox.
fn notes(network: Network, cgroups: &Cgroups) -> Vec<String> {
    let mut notes: Vec<String> = cgroup_files::note(cgroups).into_iter().collect();
    if network == Network::On {
        notes.push(
            "bubblewrap: the network is the host's, its loopback included (--network off has none)".into(),
        );
    }
    notes
}

/// The binds of a sandbox.
fn binds(guest: &GuestInput<'_>, root: RootForm) -> Vec<Bind> {
    let place = match root {
        RootForm::Image => IMAGE,
        RootForm::Tree => LOWER,
    };
    let mut binds = vec![
        bind(BindSource::Agent, AGENT, Writes::Refused),
        bind(BindSource::Root, place, Writes::Refused),
        bind(BindSource::Scratch, SCRATCH, Writes::Through),
    ];
    if let Some(source) = guest.source {
        binds.push(bind(BindSource::Directory(source.into()), share("source"), Writes::Refused));
    }
    if let Some(cache) = guest.cache {
        let writes = if cache.writes_through() { Writes::Through } else { Writes::Refused };
        binds.push(bind(BindSource::Directory(cache.directory.clone()), share("cache"), writes));
    }
    binds
}

/// The guest configuration: overlays over the binds, and the root made of them.
///
/// # Errors
/// A failure of the build file for a user whose id no sandbox has; a host failure if there is no filter of system calls for this
/// machine.
fn guest_config(
    guest: GuestInput<'_>,
    resolver: &str,
    ids: Ids,
    root: RootForm,
) -> Result<GuestConfig, Failure> {
    let owner = guest.owner;
    let options = match ids {
        Ids::Own | Ids::Root => &OVERLAYS_OF_ROOT,
        Ids::Range | Ids::SingleUid => &OVERLAYS_OF_USER,
    };
    let user_namespace = user_namespace(ids, owner.guest_uid.max(owner.guest_gid), guest.network)?;
    let seccomp = seccomp::filters(&guest.capabilities)?;
    let mut mounts = Vec::new();
    if root == RootForm::Image {
        mounts.push(Mount::Filesystem {
            source: MountSource::Image(IMAGE.into()),
            target: LOWER.into(),
            fstype: "erofs".into(),
            options: String::new(),
            access: Access::ReadOnly,
        });
    }
    mounts.extend(idmaps(&guest, ids));
    mounts.push(guest_config::overlay(&[LOWER], "root", ROOT, (0, 0), options.usual()));
    mounts.extend(guest_config::workspace(&guest, options));
    if let Some(cache) = guest.cache {
        mounts.extend(cache::mounts::mounts(&share("cache"), cache, owner, options));
    }
    mounts.push(Mount::Pivot { path: ROOT.into() });
    let resolver = match guest.network {
        Network::On => resolver.to_owned(),
        Network::Off => String::new(),
    };
    let files = vec![guest_config::file(RESOLVER, resolver)];
    let base = guest_config::base(guest, mounts, files, Vec::new());
    Ok(GuestConfig { user_namespace: Some(user_namespace), seccomp, ..base })
}

/// The user namespace of steps, which the agent enters, too.
fn user_namespace(ids: Ids, guest_id: u32, network: Network) -> Result<UserNamespace, Failure> {
    let first = match ids {
        Ids::Own => FIRST_ID,
        Ids::Root | Ids::Range | Ids::SingleUid => 0,
    };
    // The highest id, (uid_t)-1, is not an id.
    if guest_id >= u32::MAX - first {
        return Err(Failure::build_file(
            format!(
                "run-as: uid {guest_id} is higher than those of a sandbox, which end at {}",
                u32::MAX - first - 1
            ),
            "use a lower uid, or --runner docker or qemu",
        ));
    }
    let network = match network {
        // The namespace of the network belongs to the user namespace of steps, so that their capabilities apply to it.
        Network::Off => NetworkNamespace::New,
        Network::On => NetworkNamespace::Kept,
    };
    Ok(UserNamespace { first, network })
}

/// Idmapped mounts: source and cache belong to the step's user in the sandbox, and the image to users of the sandbox. In a user
/// namespace of an ordinary user no mount is needed.
fn idmaps(guest: &GuestInput<'_>, ids: Ids) -> Vec<Mount> {
    let owner = guest.owner;
    let first = match ids {
        Ids::Own => FIRST_ID,
        Ids::Root if (owner.uid, owner.gid) != owner.ids() => 0,
        Ids::Root | Ids::Range | Ids::SingleUid => return Vec::new(),
    };
    let idmap = |path: String, (uid, gid): (u32, u32)| Mount::Idmap {
        path,
        uids: id_ranges(uid, owner.guest_uid, first),
        gids: id_ranges(gid, owner.guest_gid, first),
    };
    let image = (ids == Ids::Own).then(|| idmap(LOWER.into(), owner.ids()));
    let shares = [("source", guest.source.is_some()), ("cache", guest.cache.is_some())];
    let shares = shares.into_iter().filter(|(_, exists)| *exists);
    image.into_iter().chain(shares.map(|(name, _)| idmap(share(name), (owner.uid, owner.gid)))).collect()
}

/// The map of all ids to a namespace that begins at the host id `first`, with `outside` and `inside` swapped.
fn id_ranges(outside: u32, inside: u32, first: u32) -> Vec<IdRange> {
    let (low, high, end) = (outside.min(inside), outside.max(inside), u32::MAX - first);
    let range = |from: u32, to: u32, count| IdRange { from, to: to + first, count };
    let same = |from: u32, to: u32| (from < to).then(|| range(from, from, to - from));
    if low == high {
        return same(0, end).into_iter().collect();
    }
    // Ids beyond the namespace are not mapped.
    let pair =
        [(outside, inside), (inside, outside)].into_iter().filter(|(from, to)| *from < end && *to < end);
    let pair = pair.map(|(from, to)| range(from, to, 1));
    let rest = [(0, low.min(end)), (low.saturating_add(1), high.min(end)), (high.saturating_add(1), end)];
    pair.chain(rest.into_iter().filter_map(|(from, to)| same(from, to))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{
        CacheMode,
        fixtures::{cache, guest},
    };

    fn lines(binds: &[Bind]) -> Vec<String> {
        binds
            .iter()
            .map(|Bind { source, target, writes }| format!("{source:?} {target} {writes:?}"))
            .collect()
    }

    #[test]
    fn the_cache_is_bound_for_writing_only_with_rw() {
        for (mode, writes) in
            [(CacheMode::Rw, "Through"), (CacheMode::Ro, "Refused"), (CacheMode::Commit, "Refused")]
        {
            let cache = cache(mode);
            assert_eq!(
                lines(&binds(&guest(&cache, 0), RootForm::Tree)),
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
    fn shares_are_idmapped_only_for_root() {
        let cache = cache(CacheMode::Rw);
        for (ids, inside, expected, first) in [
            (Ids::Own, 1000, 3, FIRST_ID),
            (Ids::Own, 0, 3, FIRST_ID),
            (Ids::Root, 1000, 2, 0),
            (Ids::Root, 0, 0, 0),
            (Ids::Range, 1000, 0, 0),
            (Ids::SingleUid, 0, 0, 0),
        ] {
            let config = guest_config(guest(&cache, inside), "", ids, RootForm::Tree).unwrap();
            let maps = config.mounts.iter().filter(|mount| matches!(mount, Mount::Idmap { .. })).count();
            assert_eq!(maps, expected, "{ids:?} {inside}");
            let namespace = UserNamespace { first, network: NetworkNamespace::New };
            assert_eq!(config.user_namespace, Some(namespace), "{ids:?}");
            assert!(!config.seccomp.is_empty());
            // A step cannot open devices of the host by nodes that it makes.
            assert!(config.mounts.iter().all(|mount| match mount {
                Mount::Overlay { nodev, .. } => *nodev,
                _ => true,
            }));
        }
    }

    #[test]
    fn a_map_has_each_id_once() {
        let ranges = |outside, inside, first| {
            let ranges = id_ranges(outside, inside, first);
            ranges.iter().map(|IdRange { from, to, count }| (*from, *to, *count)).collect::<Vec<_>>()
        };
        let all = u32::MAX;
        assert_eq!(ranges(0, 1000, 0), [(0, 1000, 1), (1000, 0, 1), (1, 1, 999), (1001, 1001, all - 1001)]);
        assert_eq!(ranges(1, 0, 0), [(1, 0, 1), (0, 1, 1), (2, 2, all - 2)]);
        assert_eq!(ranges(0, 0, 0), [(0, 0, all)]);
        let (f, half) = (FIRST_ID, all - FIRST_ID);
        assert_eq!(ranges(0, 0, f), [(0, f, half)]);
        assert_eq!(ranges(0, 1, f), [(0, f + 1, 1), (1, f, 1), (2, f + 2, half - 2)]);
        assert_eq!(ranges(f + 5, 0, f), [(1, f + 1, half - 1)]);
    }

    #[test]
    fn a_uid_that_no_sandbox_has_is_an_error_of_the_build_file() {
        let refused = |ids, inside| user_namespace(ids, inside, Network::On).map_err(|failure| failure.code);
        assert_eq!(refused(Ids::Own, 1 << 31), Err(crate::exit::Code::BuildFile));
        assert!(refused(Ids::Own, (1 << 31) - 2).is_ok() && refused(Ids::Root, 1 << 31).is_ok());
    }
}
