//! A backend launches the agent in a guest, and gives kiln a channel to it. Nothing else differs between backends.
//!
//! Before it: the plan, the image, the shares. After it: `engine`, which sends requests to the agent and ends the guest.
//!
//! Each backend has a directory with the same files: `probe` looks for it on the host, `plan` decides its part of the plan (pure),
//! `argv` is its command line (pure), `launch` makes its [`Runner`]. A new backend is a directory, a line in [`find`], a row in
//! [`crate::plan::RunnerTraits`] and a variant of [`crate::plan::Platform`].
//!
//! A runner of containers or sandboxes
//!
//! * mounts the plan's binds ([`crate::plan::Platform::binds`]), and nothing else of the host;
//! * starts `AGENT --stdio` as PID 1 of a new pid namespace. Pipes at its stdin and stdout carry only the protocol; the last lines
//!   of its stderr are kept. Environment, user, directory, umask, limits and signals of steps are set by the agent;
//! * sets the hostname [`crate::plan::HOSTNAME`]. The network is that of the host or docker's default, or loopback alone;
//! * ends all processes when it is dropped or killed, and when kiln dies. The agent exits when its stdin ends.

mod agent_file;
pub mod bubblewrap;
pub mod docker;
pub mod fake;
mod found;
mod isolation;
pub mod qemu;
mod runner;

use anyhow::Result;

pub use found::{Backend, Launch, Tools};
pub use isolation::Isolation;
pub use runner::{BoxFuture, Ended, Launched, Machine, Runner};

use crate::{
    event::Sink,
    host::Host,
    plan::{BuildOptions, RunnerKind},
};

/// Looks for the requested backend.
///
/// # Errors
/// A host failure if it is missing or not usable.
pub async fn find(
    options: &BuildOptions,
    tools: Tools<'_>,
    host: &Host,
    sink: &mut dyn Sink,
) -> Result<Box<dyn Backend>> {
    Ok(match options.runner {
        RunnerKind::Qemu => Box::new(qemu::find(options, tools, host, sink).await?),
        RunnerKind::Docker => Box::new(docker::find(tools).await?),
        RunnerKind::Bubblewrap => Box::new(bubblewrap::find(options, tools, host).await?),
    })
}
