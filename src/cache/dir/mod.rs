//! Files and directories beneath an open directory: the lowest floor. It knows nothing of a cache.

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

pub(super) use beneath::{BeneathDir, FileType, Renamed, bytes, file_type, permissions, set_time};
pub(super) use path::{ancestors, is_below, join, shown, split};
