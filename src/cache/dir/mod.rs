//! Files and directories, opened beneath a directory that is open: the lowest floor of the cache. It knows nothing of caches.

pub(super) mod attributes;
mod beneath;
pub(super) mod compare;
pub(super) mod ctime;
pub(super) mod holes;
pub(super) mod lock;
pub(super) mod mounts;
pub(super) mod mtime;
mod path;
pub(super) mod remove;
pub(super) mod usage;
pub(super) mod walk;

pub(super) use beneath::{BeneathDir, FileType, Renamed, bytes, permissions, set_time, what};
pub(super) use path::{ancestors, is_below, join, shown, split};
