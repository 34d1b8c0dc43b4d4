//! Sets resource limits of the agent itself, which all its children inherit.

use anyhow::{Context, Result};
use kiln_protocol::{Limit, Resource};
use nix::{
    errno::Errno,
    sys::resource::{RLIM_INFINITY, Resource as Kind, getrlimit, rlim_t, setrlimit},
};

/// Sets one limit. Where the agent may not raise it (as root of a container, or of a user namespace only), a lower limit stays.
pub(crate) fn set(limit: &Limit) -> Result<()> {
    let Limit { resource, soft, hard } = limit;
    let kind = kind(*resource);
    let number = |limit: &Option<u64>| limit.map_or(RLIM_INFINITY, |limit| limit as rlim_t);
    let wanted = (number(soft), number(hard));
    let context = || format!("set the limit of {resource:?}");
    let (_, most) = getrlimit(kind).with_context(context)?;
    match setrlimit(kind, wanted.0, wanted.1) {
        Err(Errno::EPERM) => setrlimit(kind, wanted.0.min(most), wanted.1.min(most)).with_context(context),
        result => result.with_context(context),
    }
}

fn kind(resource: Resource) -> Kind {
    match resource {
        Resource::As => Kind::RLIMIT_AS,
        Resource::Core => Kind::RLIMIT_CORE,
        Resource::Cpu => Kind::RLIMIT_CPU,
        Resource::Data => Kind::RLIMIT_DATA,
        Resource::Fsize => Kind::RLIMIT_FSIZE,
        Resource::Locks => Kind::RLIMIT_LOCKS,
        Resource::Memlock => Kind::RLIMIT_MEMLOCK,
        Resource::Msgqueue => Kind::RLIMIT_MSGQUEUE,
        Resource::Nice => Kind::RLIMIT_NICE,
        Resource::Nofile => Kind::RLIMIT_NOFILE,
        Resource::Nproc => Kind::RLIMIT_NPROC,
        Resource::Rss => Kind::RLIMIT_RSS,
        Resource::Rtprio => Kind::RLIMIT_RTPRIO,
        Resource::Rttime => Kind::RLIMIT_RTTIME,
        Resource::Sigpending => Kind::RLIMIT_SIGPENDING,
        Resource::Stack => Kind::RLIMIT_STACK,
    }
}
