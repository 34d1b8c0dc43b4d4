//! The docker command.

use std::path::PathBuf;

use super::api::Api;
use crate::process::Spawner;

/// The docker command, its spawner and its daemon.
pub(super) struct Cli<'a> {
    pub(super) spawner: &'a Spawner,
    pub(super) docker: PathBuf,
    pub(super) api: Api,
}
