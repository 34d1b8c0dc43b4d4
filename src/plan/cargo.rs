//! A `CARGO_HOME` that is safe to share: what Cargo downloads is the cache's, all else is the build's own.
//!
//! Cargo keeps downloads (`registry`, `git`), settings (`config.toml`), secrets (`credentials.toml`) and installed programs
//! (`bin`, `.crates*`) in one directory. A program that one build installed must not be found by the next: in the guest
//! the directory is a fresh one, and only the downloads' two directories are bound into it from the cache.

use std::path::Path;

use kiln_protocol::{Access, Mount};

use super::{
    CACHE, CacheMount, Owner, PlannedStep,
    guest_config::{SCRATCH, SHARES},
};
pub(crate) use crate::ecosystem::cargo::{DIRECTORY as HOME, PERSISTS as DOWNLOADS};

/// Cargo's locks lie beside what they protect. Builds that write to one directory must meet at them.
const LOCKS: [&str; 2] = [".package-cache", ".package-cache-mutate"];

/// A cache that has been mounted, and is going to be seen by steps.
pub(crate) struct Cache<'a> {
    /// Where the agent can make directories in it.
    pub(crate) writable: &'a str,
    /// Where it was mounted for steps.
    pub(crate) mounted: &'a str,
    /// What is mounted there.
    pub(crate) cache: &'a CacheMount,
}

/// Lays the build's own directory over the cache's, and the downloads' directories into it.
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
    // What the next bind hides is reached from here.
    mounts.push(bind(format!("{writable}/{HOME}"), downloads.clone(), access));
    mounts.push(bind(build_home, target.clone(), Access::ReadWrite));
    mounts.extend(
        DOWNLOADS.iter().map(|name| bind(format!("{downloads}/{name}"), format!("{target}/{name}"), access)),
    );
    mounts
}

/// Makes Cargo meet at locks that other builds see, too; `home` is the build's own directory.
pub(crate) fn lock_links(home: &str) -> impl Iterator<Item = Mount> {
    let link =
        move |lock| Mount::Symlink { path: format!("{home}/{lock}"), target: format!("registry/{lock}") };
    LOCKS.iter().map(link)
}

/// Has in `home`, be it the cache's or the build's own, the directories that are kept.
pub(crate) fn ensure_downloads(home: &str, owner: Owner) -> impl Iterator<Item = Mount> {
    let (uid, gid) = owner.ids();
    DOWNLOADS.iter().map(move |name| Mount::EnsureDir {
        path: format!("{home}/{name}"),
        mode: 0o755,
        uid,
        gid,
    })
}

/// What is said of a `CARGO_HOME` elsewhere in the cache, where a build file or an `--env-file` has put it.
pub(crate) fn note(steps: &[PlannedStep]) -> Option<String> {
    let homes = steps.iter().flat_map(|planned| &planned.step.env).filter(|(name, _)| name == "CARGO_HOME");
    let moved = |home: &Path| home.starts_with(CACHE) && !home.starts_with(Path::new(CACHE).join(HOME));
    let (_, home) = homes.into_iter().find(|(_, home)| moved(Path::new(home)))?;
    Some(format!(
        "CARGO_HOME={home}: programs (bin), config.toml and credentials.toml there are shared with other builds that use this \
         cache; in {CACHE}/{HOME}, the default, they are each build's own"
    ))
}
