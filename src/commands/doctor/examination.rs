//! What the probes of an examination get.

use crate::{env::Env, home::Home, host::Host, process::Spawner};

/// The host to examine.
#[derive(Debug)]
pub struct Examination<'a> {
    /// The variables.
    pub env: &'a Env,
    /// kiln's directory.
    pub home: &'a Home,
    /// The machine.
    pub host: &'a Host,
    /// The spawner of probes.
    pub spawner: &'a Spawner,
}
