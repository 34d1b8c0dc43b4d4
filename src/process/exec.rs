//! What a child does between fork and exec: descriptors, namespace, session, signals, and the parent-death signal.
//!
//! Before it: [`super::Command`] has made all strings and lists. After it: exec. Another thread of kiln may have held a lock at the
//! fork, so nothing here allocates, logs or takes a lock: only system calls on memory made before.
#![expect(unsafe_code, reason = "pre_exec, and system calls that std, nix and rustix do not have")]
// UNSAFETY: see each block; all of them are system calls on numbers and on memory that outlives the call.

use std::{
    io::{Error, Result},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
};

use nix::{
    errno::Errno,
    libc,
    sys::signal::{SigSet, SigmaskHow, sigprocmask},
};
use rustix::process::{
    Pid, PidfdFlags, Signal, getppid, pidfd_send_signal, set_parent_process_death_signal, setsid,
};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    namespace::{IdMap, NamespaceEntry},
    reaper_client,
};

/// The highest signal number that Linux has, on every architecture that kiln runs on.
const LAST_SIGNAL: libc::c_int = 64;

/// The data of the child, made before the fork.
pub(super) struct ChildSetup {
    parent: libc::pid_t,
    reaper: RawFd,
    fds: Vec<(OwnedFd, RawFd)>,
    /// Room for the copies of `fds` that wait above their final numbers while those are filled.
    waiting: Vec<Option<OwnedFd>>,
    namespace: Option<NamespaceEntry>,
    cgroups: Vec<OwnedFd>,
}

impl ChildSetup {
    pub(super) fn new(
        reaper: RawFd,
        fds: Vec<(OwnedFd, RawFd)>,
        ids: Option<IdMap>,
        cgroups: Vec<OwnedFd>,
    ) -> Self {
        let waiting = fds.iter().map(|_| None).collect();
        let parent = nix::unistd::getpid().as_raw();
        Self { parent, reaper, fds, waiting, namespace: ids.map(NamespaceEntry::new), cgroups }
    }

    fn run(&mut self) -> Result<()> {
        setsid()?;
        // First, before the child can fork: from here on the reaper finds all its descendants.
        reaper_client::register_self(self.reaper);
        for group in &self.cgroups {
            // 0 is the process that writes it (cgroups(7)).
            rustix::io::write(group, b"0")?;
        }
        if let Some(entry) = &self.namespace {
            entry.enter()?;
        }
        reset_signals()?;
        die_with(self.parent)?;
        self.place_descriptors()
    }

    fn place_descriptors(&mut self) -> Result<()> {
        let Self { fds, waiting, .. } = self;
        // Best effort: kernels before 5.11 do not know the flag. What kiln itself opens is close-on-exec anyway.
        let _ = close_inherited_on_exec();
        let above = fds.iter().map(|(_, number)| number + 1).max().unwrap_or(3);
        for ((fd, _), waiting) in fds.iter().zip(waiting.iter_mut()) {
            *waiting = Some(rustix::io::fcntl_dupfd_cloexec(fd, above)?);
        }
        for ((_, number), waiting) in fds.iter().zip(waiting.iter().flatten()) {
            // SAFETY: what stands at `number` is kiln's, of no use after exec, and reserved against the pipe of std.
            check(unsafe { libc::dup2(waiting.as_raw_fd(), *number) })?;
        }
        Ok(())
    }
}

/// Has `command` run `setup` after its fork.
pub(super) fn install(command: &mut std::process::Command, mut setup: ChildSetup) {
    // SAFETY: `run` makes system calls only and allocates nothing, see the module's documentation.
    unsafe { command.pre_exec(move || setup.run()) };
}

/// Has all descriptors but the standard streams closed by exec.
pub(super) fn close_inherited_on_exec() -> Result<()> {
    // SAFETY: plain system call on a range of numbers; the descriptors stay open until exec.
    check(unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) })
        .map(drop)
}

/// Ends a forked copy of this process without running anything of the original (destructors, handlers of exit(3)).
pub(super) fn exit(code: libc::c_int) -> ! {
    // SAFETY: plain system call.
    unsafe { libc::_exit(code) }
}

/// A descriptor of the process `pid`; close-on-exec (pidfd_open(2), Linux 5.3).
pub(super) fn pidfd_open(pid: libc::pid_t) -> Result<OwnedFd> {
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
pub(super) fn pidfd_kill(pidfd: &OwnedFd) -> Result<()> {
    Ok(pidfd_send_signal(pidfd, Signal::KILL)?)
}

/// An ignored signal would stay ignored over exec (`nohup`, background jobs of a shell), a blocked one blocked.
fn reset_signals() -> Result<()> {
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: SIG_DFL is a valid disposition. SIGKILL, SIGSTOP and libc's own refuse, which is right.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}

/// After every change of credentials, each of which clears it (prctl(2)).
fn die_with(parent: libc::pid_t) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before: then no signal comes.
    if Pid::as_raw(getppid()) != parent {
        exit(libc::EXIT_FAILURE);
    }
    Ok(())
}

/// The result of a system call: its value, or what `errno` says.
pub(super) fn check(result: libc::c_int) -> Result<libc::c_int> {
    match result {
        -1 => Err(Error::from_raw_os_error(Errno::last_raw())),
        value => Ok(value),
    }
}
