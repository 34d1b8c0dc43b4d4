//! What a child does between fork and exec: descriptors, namespace, session, signals, and the parent-death signal.
//!
//! Before it: [`super::Command`] has made all strings and lists. After it: exec. Another thread of kiln may have held a lock at the
//! fork, so nothing here allocates, logs or takes a lock: only system calls on memory made before.
#![expect(unsafe_code, reason = "pre_exec, and system calls that std, nix and rustix do not have")]
// UNSAFETY: see each block; all of them are system calls on numbers and on memory that outlives the call.

use std::{
    io::Result,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
};

use nix::{
    libc,
    sys::signal::{SigSet, SigmaskHow, sigprocmask},
};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, setsid};

use super::{
    namespace::{IdMap, NamespaceEntry},
    reaper_client,
    syscall::{check, exit},
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
