//! The errors of a stream that cannot be staged.

use crate::{
    cache::{dir::shown, txn::open_cache::OpenCache},
    exit::{Code, Failure},
};

/// The file system refuses an operation.
pub(super) fn full(cache: &OpenCache) -> Failure {
    Failure::new(
        Code::Cache,
        format!("what the build wrote cannot be put into the cache {}", cache.directory.display()),
        "nothing was kept and nothing changed; make it writable and make room on its file system, name another \
         one with --cache-dir, or use --cache-mode discard",
    )
}

/// The stream has an entry that no build can have made, or that no build may make.
pub(super) fn refuse(path: &[u8], why: &str) -> anyhow::Error {
    Failure::new(
        Code::Cache,
        format!("what was to go into the cache is refused: {}: {why}", shown(path)),
        "nothing was kept; look at what the build does in /var/cache/melange",
    )
    .into()
}

/// The entry could be decided but not merged.
pub(super) fn mounted(path: &[u8], mount: &[u8]) -> anyhow::Error {
    Failure::new(
        Code::Cache,
        format!("{} cannot be put into the cache: {} in it is a mount of its own", shown(path), shown(mount)),
        "nothing was kept; a commit renames within one file system: mount the whole cache instead, or use --cache-mode rw",
    )
    .into()
}

/// An error of the reader, as a cache failure.
pub(super) fn of_cache(error: anyhow::Error) -> anyhow::Error {
    let what = format!("what was to go into the cache is refused: {error:#}");
    Failure::new(Code::Cache, what, "nothing was kept; look at what the build does in /var/cache/melange")
        .into()
}
