//! The transaction: staging, journal, merge and recovery. The middle floor of the cache, above [`super::dir`]. It knows an open
//! cache, and no lease.

pub(super) mod category;
pub(super) mod commit;
pub(super) mod commit_lock;
pub(super) mod contents;
pub(super) mod foreign_entries;
pub(super) mod journal;
pub(super) mod merge;
pub(super) mod open_cache;
pub(super) mod owners;
pub(super) mod persistent_dirs;
pub(super) mod recovery;
pub(super) mod remarks;
pub(super) mod scrub;
pub(super) mod stage;
pub(super) mod staging;
mod staging_root;
pub(super) mod stuck_commits;
pub(super) mod target;
pub(super) mod usage_delta;
