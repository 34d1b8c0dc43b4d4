//! What a child does between fork and exec: descriptors, namespace, session, signals, and the tie to its parent.
//!
//! Before it: [`super::Command`] has made all strings and lists. After it: exec. Another thread of kiln may have held any lock
//! at the fork, so nothing here allocates, logs or takes one: system calls and memory made before, nothing else.
#![expect(unsafe_code, reason = "pre_exec, and system calls that neither std nor nix has")]
// UNSAFETY: see each block; all of them are system calls on numbers and on memory that outlives the call.

use std::{
    io::{Error, Result},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
};

use nix::{errno::Errno, libc};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    namespace::{Entry, IdMap},
    reaper_client,
};

/// The highest signal number that Linux has, on every architecture that kiln runs on.
const LAST_SIGNAL: libc::c_int = 64;

/// All that the child needs to know, made before the fork.
pub(super) struct Exec {
    parent: libc::pid_t,
    reaper: RawFd,
    fds: Vec<(OwnedFd, RawFd)>,
    /// Room for the numbers at which descriptors wait while their final ones are filled.
    waiting: Vec<RawFd>,
    namespace: Option<Entry>,
    cgroups: Vec<OwnedFd>,
}

impl Exec {
    pub(super) fn new(
        reaper: RawFd,
        fds: Vec<(OwnedFd, RawFd)>,
        ids: Option<IdMap>,
        cgroups: Vec<OwnedFd>,
    ) -> Self {
        let waiting = vec![-1; fds.len()];
        let parent = nix::unistd::getpid().as_raw();
        Self { parent, reaper, fds, waiting, namespace: ids.map(Entry::new), cgroups }
    }

    fn run(&mut self) -> Result<()> {
        // SAFETY: plain system call; it fails only for the leader of a group, which a forked child is not.
        check(unsafe { libc::setsid() })?;
        // First, while nothing of this child can have forked: from here on the reaper finds all that comes of it.
        reaper_client::register_self(self.reaper);
        for group in &self.cgroups {
            // SAFETY: writes one byte of a literal; 0 is the process that writes it (cgroups(7)).
            check(unsafe { libc::write(group.as_raw_fd(), c"0".as_ptr().cast(), 1) as libc::c_int })?;
        }
        if let Some(entry) = &self.namespace {
            entry.enter()?;
        }
        reset_signals();
        die_with(self.parent)?;
        self.place_descriptors()
    }

    fn place_descriptors(&mut self) -> Result<()> {
        let Self { fds, waiting, .. } = self;
        // Kernels before 5.11 do not know the flag. What kiln itself opens is close-on-exec anyway.
        // SAFETY: plain system call on a range of numbers.
        unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) };
        let above = fds.iter().map(|(_, number)| number + 1).max().unwrap_or(3);
        for ((fd, _), waiting) in fds.iter().zip(waiting.iter_mut()) {
            // SAFETY: duplicates a descriptor that `fds` owns.
            *waiting = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, above) })?;
        }
        for ((_, number), waiting) in fds.iter().zip(waiting.iter()) {
            // SAFETY: what stands at `number` is kiln's, of no use after exec, and reserved against the pipe of std.
            check(unsafe { libc::dup2(*waiting, *number) })?;
        }
        Ok(())
    }
}

/// Has `command` go through `exec` after its fork.
pub(super) fn arm(command: &mut std::process::Command, mut exec: Exec) {
    // SAFETY: `run` makes system calls only and allocates nothing, see the module's documentation.
    unsafe { command.pre_exec(move || exec.run()) };
}

/// The owner of a descriptor that a system call has just made.
pub(super) fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass what a successful system call returned, and pass it once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A descriptor of the process `pid`; close-on-exec (pidfd_open(2), Linux 5.3).
pub(super) fn pidfd_open(pid: libc::pid_t) -> Result<OwnedFd> {
    // SAFETY: plain system call on numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    check(libc::c_int::try_from(fd).expect("a descriptor or -1")).map(own)
}

/// Lets a descriptor be awaited until it can be read: a pidfd, until its process ends.
pub fn watch(fd: OwnedFd) -> Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd stands for the same open file for as long as it lives.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    watched.map_err(|error| error.into_parts().1)
}

/// Sends SIGKILL to the process that `pidfd` names, and to no other that got its number.
pub(super) fn pidfd_kill(pidfd: &OwnedFd) -> Result<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: plain system call; a null siginfo means that of kill(2).
    let done =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, info, 0) };
    check(libc::c_int::try_from(done).expect("0 or -1")).map(drop)
}

/// An ignored signal would stay ignored over exec (`nohup`, background jobs of a shell), a blocked one blocked.
fn reset_signals() {
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: SIG_DFL is a valid disposition. SIGKILL, SIGSTOP and libc's own refuse, which is right.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero set is a valid place for sigemptyset to fill.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// After every change of credentials, each of which clears it (prctl(2)).
fn die_with(parent: libc::pid_t) -> Result<()> {
    // SAFETY: plain system calls on numbers.
    unsafe {
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        // The parent may have died before: then nothing would kill this child any more.
        if libc::getppid() != parent {
            libc::_exit(libc::EXIT_FAILURE);
        }
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
