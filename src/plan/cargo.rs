//! A `CARGO_HOME` that is safe to share: downloads lie in the cache, all else in a directory of the build.
//!
//! Cargo keeps downloads (`registry`, `git`), settings (`config.toml`), secrets (`credentials.toml`) and installed programs
//! (`bin`, `.crates*`) in one directory. A build must not find programs that another build has installed: in the guest
//! the directory is a new one, and only the two directories of downloads are bound into it from the cache.

use std::path::Path;

use kiln_protocol::{Access, Mount};

use super::{
    CACHE, CacheMount, Owner, PlannedStep,
    guest_config::{SCRATCH, SHARES},
};
pub(crate) use crate::ecosystem::cargo::{DIRECTORY as HOME, PERSISTS as DOWNLOADS};

/// Cargo's locks, which lie beside the directories that they protect. Builds that write to one cache must share them.
const LOCKS: [&str; 2] = [".package-cache", ".package-cache-mutate"];

/// A mounted cache.
pub(crate) struct Cache<'a> {
    /// The path at which the agent can make directories in it.
    pub(crate) writable: &'a str,
    /// The path at which steps see it.
    pub(crate) mounted: &'a str,
    /// Its part of the plan.
    pub(crate) cache: &'a CacheMount,
}

/// Mounts the build's own directory over that of the cache, and the directories of downloads into it.
pub(crate) fn home(cache: &Cache<'_>, owner: Owner) -> Vec<Mount> {
    let Cache { writable, mounted, cache } = *cache;
    let access = cache.step_access;
    let build_home = format!("{SCRATCH}/{HOME}");
    let downloads = format!("{SHARES}/{HOME}");
    let target = format!("{mounted}/{HOME}");
    let bind = |source: String, target: String, access| Mount::Bind { source, target, access };

    let mut mounts: Vec<Mount> = ensure_downloads(&format!("{writable}/{HOME}"), owner).collect();
    mounts.extend(ensure_downloads(&build_home, owner));
    if cache.writes_through() {
        mounts.extend(lock_links(&build_home));
    }
    // The next bind hides this directory at its first path.
    mounts.push(bind(format!("{writable}/{HOME}"), downloads.clone(), access));
    mounts.push(bind(build_home, target.clone(), Access::ReadWrite));
    mounts.extend(
        DOWNLOADS.iter().map(|name| bind(format!("{downloads}/{name}"), format!("{target}/{name}"), access)),
    );
    mounts
}

/// Links that make builds share Cargo's locks. `home` is the build's own directory.
pub(crate) fn lock_links(home: &str) -> impl Iterator<Item = Mount> {
    let link =
        move |lock| Mount::Symlink { path: format!("{home}/{lock}"), target: format!("registry/{lock}") };
    LOCKS.iter().map(link)
}

/// Makes the directories of downloads in `home`, the cache's or the build's own, if they are missing.
pub(crate) fn ensure_downloads(home: &str, owner: Owner) -> impl Iterator<Item = Mount> {
    let (uid, gid) = owner.ids();
    DOWNLOADS.iter().map(move |name| Mount::EnsureDir {
        path: format!("{home}/{name}"),
        mode: 0o755,
        uid,
        gid,
    })
}

/// The note on a `CARGO_HOME` that a build file or an `--env-file` sets to another directory of the cache.
pub(crate) fn note(steps: &[PlannedStep]) -> Option<String> {
    let homes = steps.iter().flat_map(|planned| &planned.step.env).filter(|(name, _)| name == "CARGO_HOME");
    let moved = |home: &Path| home.starts_with(CACHE) && !home.starts_with(Path::new(CACHE).join(HOME));
    let (_, home) = homes.into_iter().find(|(_, home)| moved(Path::new(home)))?;
    Some(format!(
        "CARGO_HOME={home}: programs (bin), config.toml and credentials.toml there are shared with other builds that use this \
         cache; in {CACHE}/{HOME}, the default, they are each build's own"
    ))
}
