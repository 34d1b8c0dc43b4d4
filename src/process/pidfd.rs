//! Descriptors of processes (pidfd_open(2)).
#![expect(unsafe_code, reason = "tokio's constructor that gives the descriptor back")]
// UNSAFETY: see the block.

use std::{io::Result, os::fd::OwnedFd};

use nix::{errno::Errno, libc};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_send_signal};
use tokio::io::{Interest, unix::AsyncFd};

/// A descriptor of the process `pid`; close-on-exec (pidfd_open(2), Linux 5.3).
pub(super) fn open(pid: libc::pid_t) -> Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(Errno::ESRCH)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// Makes a descriptor awaitable until it can be read: a pidfd, until its process ends.
pub fn watch(fd: OwnedFd) -> Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd stands for the same open file for as long as it lives.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    watched.map_err(|error| error.into_parts().1)
}

/// Sends SIGKILL to the process of `pidfd`, and to no other with a reused pid.
pub(super) fn kill(pidfd: &OwnedFd) -> Result<()> {
    Ok(pidfd_send_signal(pidfd, Signal::KILL)?)
}
