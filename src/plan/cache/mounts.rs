//! The mounts that lead from the directory with the cache to the cache as steps see it.

use kiln_protocol::{Access, Mount};

use super::{CacheMount, STAGING};
use crate::plan::{
    CACHE, Owner, cargo,
    guest_config::{self, OverlayOptions, ROOT, SCRATCH, SHARES},
};

/// The mounts of the cache as steps see it. `share` is its directory in the guest.
pub(crate) fn mounts(share: &str, cache: &CacheMount, owner: Owner, options: &OverlayOptions) -> Vec<Mount> {
    let target = format!("{ROOT}{CACHE}");
    let options = options.of_cache(cache);
    let layered = |target: &str| guest_config::overlay(&[share], "cache", target, owner.ids(), options);
    let bind = |source: &str, access| Mount::Bind { source: source.into(), target: target.clone(), access };
    let merged = format!("{SHARES}/merged");
    // Steps must not see the commits of other builds. The whiteout lies in the upper directory; a commit skips it.
    let hidden = || Mount::Whiteouts {
        directory: format!("{SCRATCH}/cache/upper"),
        like: share.into(),
        paths: vec![STAGING.into()],
    };
    let masked = Mount::MaskPath { path: format!("{target}/{STAGING}") };
    let (mut mounts, writable) = match (cache.access, cache.step_access) {
        (Access::ReadWrite, _) => (vec![bind(share, Access::ReadWrite), masked], &target),
        (Access::ReadOnly, Access::ReadWrite) => (vec![hidden(), layered(&target)], &target),
        // The agent makes missing directories in a layer of its own, which steps see read-only.
        (Access::ReadOnly, Access::ReadOnly) => {
            (vec![hidden(), layered(&merged), bind(&merged, Access::ReadOnly)], &merged)
        }
    };
    mounts.extend(cargo::home(&cargo::Cache { writable, mounted: &target, cache }, owner));
    mounts
}
