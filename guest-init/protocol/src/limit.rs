//! Resource limits of a process (getrlimit(2)).

use serde::{Deserialize, Serialize};

/// A limit that all steps have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The resource.
    pub resource: Resource,
    /// The soft limit; `None` is no limit.
    pub soft: Option<u64>,
    /// The hard limit, up to which a step may raise the soft one; `None` is no limit.
    pub hard: Option<u64>,
}

/// A resource, as getrlimit(2) names it without `RLIMIT_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// Bytes of address space.
    As,
    /// Bytes of a core file.
    Core,
    /// Seconds of a processor.
    Cpu,
    /// Bytes of data segments.
    Data,
    /// Bytes of a file.
    Fsize,
    /// Locks of files.
    Locks,
    /// Bytes locked in memory.
    Memlock,
    /// Bytes in POSIX message queues.
    Msgqueue,
    /// 20 less the lowest nice value.
    Nice,
    /// Descriptors.
    Nofile,
    /// Processes of a user.
    Nproc,
    /// Bytes of resident memory; ignored by Linux.
    Rss,
    /// The highest real-time priority.
    Rtprio,
    /// Microseconds of real-time scheduling.
    Rttime,
    /// Queued signals of a user.
    Sigpending,
    /// Bytes of stack.
    Stack,
}
