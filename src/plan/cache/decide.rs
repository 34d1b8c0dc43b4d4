//! The one place that decides how a build gets its cache.

use super::{CacheMode, CacheMount, CacheShare};
use crate::plan::{BuildOptions, CacheModeOption, VirtiofsOption};

impl CacheMount {
    /// The cache of a build; `None` without a cache. The lease needs it before the rest of the plan is made.
    pub fn decide(options: &BuildOptions) -> Option<Self> {
        let directory = options.cache_dir.clone()?;
        let share = match (options.runner.traits().own_kernel, options.virtiofs) {
            (false, _) => CacheShare::Bind,
            (true, VirtiofsOption::Off) => CacheShare::NineP,
            (true, VirtiofsOption::Spawned) => CacheShare::Virtiofs,
            (true, VirtiofsOption::Embedded) => CacheShare::Embedded,
        };
        let mode = match (options.cache_mode, share) {
            (CacheModeOption::Auto, CacheShare::NineP) | (CacheModeOption::Discard, _) => CacheMode::Discard,
            (CacheModeOption::Auto, CacheShare::Virtiofs | CacheShare::Embedded | CacheShare::Bind)
            | (CacheModeOption::Rw, _) => CacheMode::Rw,
            (CacheModeOption::Ro, _) => CacheMode::Ro,
            (CacheModeOption::Commit, _) => CacheMode::Commit,
        };
        Some(Self::new(directory, mode, share, options.cache_sharing))
    }
}
