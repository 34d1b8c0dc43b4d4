//! A microVM's part of the plan: the machine, and what the agent mounts in it. Pure.
//!
//! The root is a read-only erofs with an overlay on the scratch disk; source and cache are shares. Until `Mount::Root`
//! paths are those of the initramfs, so that no step can see lower or upper directories.

use kiln_protocol::{Access, GuestConfig, MemoryCounter, Mount, MountSource, Network as GuestNetwork};

use super::share;
use crate::{
    exit::Failure,
    plan::{
        Accelerator, CACHE_TAG, CacheMount, HOSTNAME, HostLoopback, Machine, Network, Owner, Platform,
        PlatformRules, ROOT_SERIAL, RulesInput, SCRATCH_SERIAL, SOURCE_TAG, cache,
        guest_config::{self, GuestInput, LOWER, OverlayOptions, RESOLVER, ROOT, SCRATCH, SHARES, overlay},
        resources,
    },
};

/// Some networks silently drop packets of 1500 bytes (melange #2411).
const MTU: u32 = 1400;

/// How the guest's root user mounts overlays.
const OVERLAYS: OverlayOptions = OverlayOptions {
    nodev: false,
    usual: "metacopy=on,redirect_dir=on,volatile",
    discarded: "metacopy=off,redirect_dir=on,volatile",
    committed: "metacopy=off,redirect_dir=on,volatile",
};

/// QEMU's part of the plan, with the facts of its probe.
#[derive(Debug, Clone)]
pub struct MicrovmRules {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// The kernel modules that the guest needs, in loading order.
    pub modules: Vec<String>,
}

impl PlatformRules for MicrovmRules {
    fn plan(
        &self,
        input: RulesInput<'_>,
        guest: GuestInput<'_>,
        notes: &mut Vec<String>,
    ) -> Result<(Platform, GuestConfig), Failure> {
        let RulesInput { recipe, options, host, resources: _ } = input;
        let (disk, disk_from) = resources::disk(recipe, options, notes)?;
        let machine = Machine {
            accelerator: self.accelerator,
            tsc_khz: host.tsc_khz,
            cpu_model: resources::cpu_model(recipe, options)?,
            disk_bytes: disk.0,
            disk_from,
            slirp: options.slirp.clone(),
            host_loopback: options.host_loopback,
            kernel_arguments: options.kernel_arguments.clone(),
        };
        let config = guest_config(self.modules.clone(), &machine, guest);
        Ok((Platform::Qemu(machine), config))
    }
}

/// The guest's configuration. The clock and the entropy are set when it is launched.
fn guest_config(modules: Vec<String>, machine: &Machine, guest: GuestInput<'_>) -> GuestConfig {
    let network = guest.network;
    let mut mounts = root();
    if guest.source.is_some() {
        mounts.push(share::nine_p_mount(SOURCE_TAG, &format!("{SHARES}/source"), Access::ReadOnly));
    }
    mounts.extend(guest_config::workspace(&guest, &OVERLAYS));
    mounts.extend(guest.cache.into_iter().flat_map(|cache| cache_mounts(cache, guest.owner)));
    mounts.push(Mount::Root { path: ROOT.into() });
    let resolver = match network {
        Network::On => machine.slirp.resolver(),
        Network::Off => String::new(),
    };
    let files = vec![guest_config::file(RESOLVER, resolver)];
    GuestConfig {
        modules,
        hostname: Some(HOSTNAME.into()),
        network: guest_network(network, machine),
        memory: Some(MemoryCounter::Machine),
        ..guest_config::base(guest, mounts, files, Vec::new())
    }
}

fn root() -> Vec<Mount> {
    vec![
        Mount::Filesystem {
            source: MountSource::Disk(ROOT_SERIAL.into()),
            target: LOWER.into(),
            fstype: "erofs".into(),
            options: String::new(),
            access: Access::ReadOnly,
        },
        Mount::Filesystem {
            source: MountSource::Disk(SCRATCH_SERIAL.into()),
            target: SCRATCH.into(),
            fstype: "ext4".into(),
            // The disk is discarded: no barriers, and no writes in the background.
            options: "noinit_itable,nobarrier,nodiscard".into(),
            access: Access::ReadWrite,
        },
        overlay(&[LOWER], "root", ROOT, (0, 0), OVERLAYS.usual()),
    ]
}

/// The cache of a microVM: its share, and the mounts above it.
fn cache_mounts(cache: &CacheMount, owner: Owner) -> Vec<Mount> {
    let directory = format!("{SHARES}/cache");
    let mut mounts = vec![share::cache_mount(cache.share, CACHE_TAG, &directory, cache.access)];
    mounts.extend(cache::mounts::mounts(&directory, cache, owner, &OVERLAYS));
    mounts
}

fn guest_network(network: Network, machine: &Machine) -> Option<GuestNetwork> {
    let slirp = &machine.slirp;
    match network {
        Network::Off => None,
        Network::On => Some(GuestNetwork {
            address: slirp.guest(),
            prefix: slirp.prefix(),
            // SLIRP routes every packet. With the name server as gateway the host's address can be prohibited. The border is
            // kiln's packet filter; this makes a connection fail at once instead of after a timeout.
            gateway: slirp.name_server(),
            prohibited: match machine.host_loopback {
                HostLoopback::Off => vec![slirp.host()],
                HostLoopback::On => Vec::new(),
            },
            mtu: MTU,
        }),
    }
}
