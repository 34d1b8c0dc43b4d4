//! The life of a guest, from the request to its end, as types that each stage takes by value.
//!
//! ```text
//! Request --lease--> Leased --prepare--> Prepared --launch--> Launched --build--------> packages in the out-dir
//!     \---resolve--> Resolved (kiln plan)                            \---run_command--> an exit status
//! ```
//!
//! * A [`Request`] is a recipe and the options of the command line. `kiln plan` resolves it without a lease.
//! * [`Leased`] holds the lease of the cache, and the secrets and certificates for the guest.
//! * [`Prepared`] has the plan, and the backend that was found on this host.
//! * [`Launched`] has an image and a runner. Its end releases everything that the stages before it have acquired.
//!
//! `kiln build`, `run`, `shell` and `plan` use these stages. This is the only module that makes an `Engine`.

mod apk_root;
mod injected;
mod launch;
mod lease;
mod lock;
mod offline;
mod outcome;
mod packages;
mod packaging;
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

/// The parameters of every stage.
#[derive(Clone)]
pub(crate) struct Context<'a> {
    pub(crate) env: &'a Env,
    pub(crate) home: &'a Home,
    pub(crate) spawner: &'a Spawner,
    /// The run's own directory.
    pub(crate) run_dir: &'a Path,
    /// Signals that cancel the build.
    pub(crate) interrupts: Interrupts,
}
