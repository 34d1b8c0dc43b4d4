//! The decisions that the plan leaves to the room of a backend.

use kiln_protocol::GuestConfig;

use super::{BuildOptions, Ids, Platform, Resources, guest_config::GuestInput};
use crate::{compile::Recipe, exit::Failure, host::Host};

/// What a backend's part of the plan is made from, besides the guest's.
#[derive(Clone, Copy)]
pub struct RulesInput<'a> {
    /// The build.
    pub recipe: &'a Recipe,
    /// What the user asked for.
    pub options: &'a BuildOptions,
    /// The host.
    pub host: &'a Host,
    /// What the build may use up.
    pub resources: Resources,
}

/// The part of the plan that one backend decides. Pure: each room implements it on the facts that its probe has found.
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
