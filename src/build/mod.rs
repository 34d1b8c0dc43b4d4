//! The life of a guest, from what was asked for to its end, as types that each stage takes by value.
//!
//! ```text
//! Request --lease--> Leased --prepare--> Prepared --launch--> Launched --build--------> packages in the out-dir
//!     \---resolve--> Resolved (kiln plan)                            \---run_command--> an exit status
//! ```
//!
//! * A [`Request`] is a recipe and what the command line asks for. `kiln plan` resolves it, and takes nothing.
//! * [`Leased`] holds the lease of the cache, and what is injected into the guest is loaded.
//! * [`Prepared`] has the plan, with what was found on this host for its backend.
//! * [`Launched`] has an image and a runner; its end releases all that the stages before it have taken.
//!
//! `kiln build`, `run`, `shell` and `plan` all go this way. This is the only place that makes an `Engine`.

mod injected;
mod launch;
mod lease;
mod offline;
mod outcome;
mod packages;
mod prepare;
mod request;
pub(crate) mod source;

use std::path::Path;

pub(crate) use launch::Launched;
pub(crate) use lease::Leased;
pub(crate) use outcome::BuildTask;
pub(crate) use packages::check as check_packages;
pub(crate) use prepare::{Prepared, Resolved};
pub(crate) use request::Request;

use crate::{engine::Interrupts, env::Env, home::Home, process::Spawner};

/// What every stage has at hand.
#[derive(Clone)]
pub(crate) struct Context<'a> {
    pub(crate) env: &'a Env,
    pub(crate) home: &'a Home,
    pub(crate) spawner: &'a Spawner,
    /// The run's own directory.
    pub(crate) run_dir: &'a Path,
    /// Signals that ask for the end.
    pub(crate) interrupts: Interrupts,
}
