//! The resource limits of each process of a step (getrlimit(2)): the same in every backend, independent of those of kiln.
//!
//! They are those of a Debian login (systemd-system.conf(5), and `INIT_RLIMITS` of linux/asm-generic/resource.h for those that
//! systemd does not set). None is higher than the limits of a host whose root may not raise them, such as a container.
//! Limits that the kernel derives from the machine's memory are those for 4 GiB, the default of a guest.

use kiln_protocol::{Limit, Resource};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The limits in the order of their names.
pub(super) const LIMITS: &[Limit] = &[
    limit(Resource::As, None, None),
    // No core files, unless a step asks for them.
    limit(Resource::Core, Some(0), None),
    limit(Resource::Cpu, None, None),
    limit(Resource::Data, None, None),
    limit(Resource::Fsize, None, None),
    limit(Resource::Locks, None, None),
    limit(Resource::Memlock, Some(8 * MIB), Some(8 * MIB)),
    limit(Resource::Msgqueue, Some(800 * KIB), Some(800 * KIB)),
    limit(Resource::Nice, Some(0), Some(0)),
    // Programs that use select(2) break above 1024; those that need more raise it, as Java, Node and Go do by themselves.
    limit(Resource::Nofile, Some(1024), Some(16 * KIB)),
    limit(Resource::Nproc, Some(16 * KIB), Some(16 * KIB)),
    limit(Resource::Rss, None, None),
    limit(Resource::Rtprio, Some(0), Some(0)),
    limit(Resource::Rttime, None, None),
    limit(Resource::Sigpending, Some(16 * KIB), Some(16 * KIB)),
    limit(Resource::Stack, Some(8 * MIB), None),
];

const fn limit(resource: Resource, soft: Option<u64>, hard: Option<u64>) -> Limit {
    Limit { resource, soft, hard }
}
