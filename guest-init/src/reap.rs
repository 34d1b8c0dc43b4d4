//! Takes the status of every process that has ended: steps, and orphans that the agent has inherited.
//!
//! It does not kill ([`processes`](crate::processes)) and does not know steps ([`session`](crate::session)).

use std::{os::unix::process::ExitStatusExt, process};

use anyhow::{Context, Result};
use kiln_protocol::ExitStatus;
// nix's waitpid refuses statuses of realtime signals, after it has taken them.
use rustix::{
    io::Errno,
    process::{WaitOptions, wait},
};

/// The result of one wait(2).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reaped {
    /// A process has ended.
    Ended {
        /// Its process id.
        pid: u32,
        /// How it ended.
        status: ExitStatus,
    },
    /// Processes are left, and none of them has ended.
    NoneEnded,
    /// No process is left but the agent.
    NoneLeft,
}

/// Takes the status of one process that has ended, without waiting.
pub(crate) fn next() -> Result<Reaped> {
    reap(WaitOptions::NOHANG)
}

/// Waits until no process is left but the agent.
pub(crate) fn wait_for_all() -> Result<()> {
    while reap(WaitOptions::empty())? != Reaped::NoneLeft {}
    Ok(())
}

fn reap(options: WaitOptions) -> Result<Reaped> {
    loop {
        match wait(options) {
            Ok(None) => return Ok(Reaped::NoneEnded),
            Ok(Some((pid, status))) => {
                let pid = pid.as_raw_pid().unsigned_abs();
                return Ok(Reaped::Ended { pid, status: exit_status(status.as_raw()) });
            }
            Err(Errno::CHILD) => return Ok(Reaped::NoneLeft),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for processes"),
        }
    }
}

/// A wait status as the protocol has it. Stopped processes are not waited for.
fn exit_status(status: i32) -> ExitStatus {
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
