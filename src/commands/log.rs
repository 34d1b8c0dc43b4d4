//! The log of kiln itself on stderr: `--log-level`.

use std::io::{IsTerminal, stderr};

use anyhow::Result;

use crate::{env::Env, exit::Failure};

/// Levels of the log that are for users: they need neither the time nor kiln's own modules.
const FOR_USERS: [&str; 2] = ["error", "warn"];

/// Starts it, for a level or a filter.
///
/// # Errors
/// A usage failure for anything else.
pub(super) fn start(level: &str) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(level).map_err(|error| {
        Failure::usage(format!("--log-level {level}: {error}"), "write error, warn, info or debug")
    })?;
    let colour = stderr().is_terminal() && Env::of_process().get("NO_COLOR").is_none();
    let printer = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(colour);
    if FOR_USERS.contains(&level) {
        printer.without_time().with_target(false).init();
    } else {
        printer.init();
    }
    Ok(())
}
