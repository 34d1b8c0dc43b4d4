//! A walk over the content of a cache: all that lies in it but the staging directories.

use std::ops::ControlFlow;

use anyhow::Result;

use super::staging_root::DIRECTORY;
use crate::cache::dir::{
    BeneathDir,
    walk::{Found, PassOver, Seen, walk_but},
};

/// Shows the content of a cache to `visit`, as [`walk_but`] does.
pub(in crate::cache) fn walk(
    cache: &BeneathDir,
    visit: impl FnMut(&Found<'_>) -> Result<ControlFlow<()>>,
) -> Result<Seen> {
    walk_but(cache, PassOver { at_top: Some(DIRECTORY), unreadable: false }, visit)
}
