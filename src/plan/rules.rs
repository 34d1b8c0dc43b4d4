//! The decisions that the plan leaves to a backend.

use kiln_protocol::GuestConfig;

use super::{BuildOptions, Ids, Platform, Resources, guest_config::GuestInput};
use crate::{compile::Recipe, exit::Failure};

/// The input of a backend's part of the plan, besides that of the guest's configuration.
#[derive(Clone, Copy)]
pub struct RulesInput<'a> {
    /// The build.
    pub recipe: &'a Recipe,
    /// The options.
    pub options: &'a BuildOptions,
    /// The limits of the build.
    pub resources: Resources,
}

/// The part of the plan that one backend decides. Pure: each backend implements it on the facts of its probe.
pub trait PlatformRules {
    /// The user ids with which a sandbox is made; `None` where the guest's users are independent of the host's.
    fn ids(&self) -> Option<Ids> {
        None
    }

    /// Decides the platform and the configuration of the guest. Adds lines for the user to `notes`.
    ///
    /// # Errors
    /// For a request of the build file or the command line that this backend cannot fulfil.
    fn plan(
        &self,
        input: RulesInput<'_>,
        guest: GuestInput<'_>,
        notes: &mut Vec<String>,
    ) -> Result<(Platform, GuestConfig), Failure>;
}
