//! The request: a recipe and its options.

use std::time::Duration;

use crate::{compile::Recipe, plan::BuildOptions};

/// A recipe, and how it is to be built.
pub(crate) struct Request {
    pub(crate) recipe: Recipe,
    pub(crate) options: BuildOptions,
    /// `--cache-wait`.
    pub(crate) cache_wait: Duration,
}
