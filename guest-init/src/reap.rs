//! Takes the status of every process that has ended: steps, and the orphans that fall to the agent.
//!
//! It does not kill ([`processes`](crate::processes)) and does not know steps ([`session`](crate::session)).
#![expect(
    unsafe_code,
    reason = "nix's waitpid refuses statuses of realtime signals, after it has taken them"
)]
// UNSAFETY: one call of waitpid(2).

use std::{io, os::unix::process::ExitStatusExt, process};

use anyhow::{Context, Result};
use kiln_protocol::ExitStatus;
use nix::libc;

/// What one look for ended processes found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reaped {
    /// This process has ended.
    Ended {
        /// Which.
        pid: u32,
        /// How.
        status: ExitStatus,
    },
    /// Processes are left, and none of them has ended.
    NoneEnded,
    /// No process is left but the agent.
    NoneLeft,
}

/// Takes the status of one process that has ended, without waiting.
pub(crate) fn next() -> Result<Reaped> {
    wait(libc::WNOHANG)
}

/// Waits until no process is left but the agent.
pub(crate) fn wait_for_all() -> Result<()> {
    while wait(0)? != Reaped::NoneLeft {}
    Ok(())
}

fn wait(options: libc::c_int) -> Result<Reaped> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is a c_int that outlives the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, options) };
        match pid {
            0 => return Ok(Reaped::NoneEnded),
            1.. => return Ok(Reaped::Ended { pid: pid.unsigned_abs(), status: exit_status(status) }),
            _ => {}
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ECHILD) => return Ok(Reaped::NoneLeft),
            Some(libc::EINTR) => {}
            _ => return Err(error).context("wait for processes"),
        }
    }
}

/// A wait status as the wire says it. Stopped processes are not asked for.
fn exit_status(status: libc::c_int) -> ExitStatus {
    let status = process::ExitStatus::from_raw(status);
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitStatus::Code(code),
        (None, signal) => ExitStatus::Signal(signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_codes_or_signals() {
        assert_eq!(exit_status(0), ExitStatus::Code(0));
        assert_eq!(exit_status(255 << 8), ExitStatus::Code(255));
        assert_eq!(exit_status(9), ExitStatus::Signal(9));
        assert_eq!(exit_status(11 | 0x80), ExitStatus::Signal(11), "with a core dump");
        assert_eq!(exit_status(34), ExitStatus::Signal(34), "a realtime signal");
    }
}
