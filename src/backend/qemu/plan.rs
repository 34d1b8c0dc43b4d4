//! A microVM's part of the plan: the machine, and what the agent mounts in it. Pure.
//!
//! The root is a read-only erofs with an overlay on the scratch disk; source and cache are shares. Until `Mount::Root`
//! paths are those of the initramfs, so that no step can see lower or upper directories.

use kiln_protocol::{Access, GuestConfig, MemoryCounter, Mount, MountSource, Network as GuestNetwork};

use super::share;
use crate::{
    exit::Failure,
    host::parse_version,
    plan::{
        Accelerator, CACHE_TAG, CacheMount, CacheShare, HOSTNAME, HostLoopback, Machine, Network, Owner,
        Platform, PlatformRules, ROOT_SERIAL, RequestQueues, Resources, RulesInput, SCRATCH_SERIAL,
        SOURCE_TAG, SourceShare, cache,
        guest_config::{self, GuestInput, LOWER, OverlayOptions, RESOLVER, ROOT, SCRATCH, SHARES, overlay},
        resources,
    },
    share::embedded::MAX_REQUEST_QUEUES,
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
    /// The frequency of the host's time stamp counter.
    pub tsc_khz: Option<u32>,
    /// The kernel modules that the guest needs, in loading order.
    pub modules: Vec<String>,
    /// Whether its kernel spreads virtiofs requests over several queues.
    pub spreads_requests: bool,
}

/// Linux 6.11 is the first that does.
const SPREADS_REQUESTS: (u32, u32, u32) = (6, 11, 0);

/// Whether a kernel of this version spreads virtiofs requests over several queues; one of an unknown version is taken not to.
pub fn spreads_requests(version: &str) -> bool {
    parse_version(version).is_some_and(|version| version >= SPREADS_REQUESTS)
}

impl PlatformRules for MicrovmRules {
    fn plan(
        &self,
        input: RulesInput<'_>,
        guest: GuestInput<'_>,
        notes: &mut Vec<String>,
    ) -> Result<(Platform, GuestConfig), Failure> {
        let RulesInput { recipe, options, resources: Resources { cpus, .. } } = input;
        let (disk, disk_from) = resources::disk(recipe, options, notes)?;
        let source_share = guest.source.map(|_| options.source_share);
        let machine = Machine {
            accelerator: self.accelerator,
            start: options.start,
            tsc_khz: self.tsc_khz,
            cpu_model: resources::cpu_model(recipe, options)?,
            disk_bytes: disk.0,
            disk_from,
            slirp: options.slirp.clone(),
            host_loopback: options.host_loopback,
            kernel_arguments: options.kernel_arguments.clone(),
            source_share,
            request_queues: self.request_queues(guest.cache, source_share, options.request_queues, cpus),
        };
        let config = guest_config(self.modules.clone(), &machine, guest);
        Ok((Platform::Qemu(machine), config))
    }
}

impl MicrovmRules {
    fn request_queues(
        &self,
        cache: Option<&CacheMount>,
        source: Option<SourceShare>,
        requested: Option<u32>,
        cpus: u32,
    ) -> Option<RequestQueues> {
        let has_device = source == Some(SourceShare::Virtiofs)
            || cache.is_some_and(|cache| cache.share == CacheShare::Embedded);
        has_device.then(|| match (self.spreads_requests, requested) {
            (false, _) => RequestQueues::KernelUsesOne,
            (true, None) => RequestQueues::ForEachCpu(cpus.clamp(1, MAX_REQUEST_QUEUES)),
            (true, Some(count)) => RequestQueues::Requested(count.clamp(1, MAX_REQUEST_QUEUES)),
        })
    }
}

/// The guest's configuration. The clock and the entropy are set when it is launched.
fn guest_config(modules: Vec<String>, machine: &Machine, guest: GuestInput<'_>) -> GuestConfig {
    let network = guest.network;
    let mut mounts = root();
    mounts.extend(
        machine.source_share.map(|share| share::source_mount(share, SOURCE_TAG, &format!("{SHARES}/source"))),
    );
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
        late_devices: true,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::CacheMode;

    #[test]
    fn queues_are_for_kernels_that_use_them() {
        for (version, expected) in [
            ("6.1.0-28-amd64", false),
            ("6.10.11+bpo-amd64", false),
            ("6.11.2-amd64", true),
            ("6.12.57+deb13-amd64", true),
            ("unknown", false),
        ] {
            assert_eq!(spreads_requests(version), expected, "{version}");
        }
    }

    #[test]
    fn a_requested_number_of_queues_wins_where_the_kernel_uses_several() {
        let rules = |spreads_requests| MicrovmRules {
            tsc_khz: None,
            accelerator: Accelerator::Tcg,
            modules: Vec::new(),
            spreads_requests,
        };
        let cache = |share| CacheMount::new("/c".into(), CacheMode::Rw, share, None);
        let embedded = cache(CacheShare::Embedded);
        for (spreads_requests, requested, expected) in [
            (true, None, RequestQueues::ForEachCpu(4)),
            (true, Some(1), RequestQueues::Requested(1)),
            (true, Some(1000), RequestQueues::Requested(MAX_REQUEST_QUEUES)),
            (false, Some(2), RequestQueues::KernelUsesOne),
        ] {
            let queues = rules(spreads_requests).request_queues(Some(&embedded), None, requested, 4);
            assert_eq!(queues, Some(expected), "{spreads_requests}, {requested:?}");
        }
        assert_eq!(rules(true).request_queues(Some(&cache(CacheShare::Virtiofs)), None, Some(2), 4), None);
    }
}
