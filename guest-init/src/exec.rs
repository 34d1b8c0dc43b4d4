//! Starts a step's process: its user, directory, environment, descriptors, signals and capabilities.
//!
//! [`reap`](crate::reap) waits for it; [`output`](crate::output) reads what it writes.
#![expect(unsafe_code, reason = "what std's Command does not do must be done between fork and exec")]
// UNSAFETY: system calls between fork and exec; nothing there allocates.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
    ptr,
};

use anyhow::{Context, Result, bail, ensure};
use kiln_protocol::{Stdin, Step, Terminal};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    libc,
    sys::{
        signal::{SigSet, SigmaskHow, sigprocmask},
        stat::{Mode, fchmod, umask},
    },
    unistd::{geteuid, setgid, setgroups, setuid},
};
use rustix::{
    process::{ioctl_tiocsctty, setsid},
    thread::{
        CapabilitySet, capabilities, capability_is_in_bounding_set, remove_capability_from_bounding_set,
        set_capabilities,
    },
};

use crate::{
    account::{self, Account},
    input::Source,
    terminal,
};

/// The umask of steps.
const UMASK: Mode = Mode::S_IWGRP.union(Mode::S_IWOTH);

/// The highest signal of Linux on x86-64 and arm64.
const LAST_SIGNAL: libc::c_int = 64;

/// The kernel's own struct sigaction: SIG_DFL, no flags, no restorer, an empty mask.
static DEFAULT_ACTION: [u64; 4] = [0; 4];

/// The size of the kernel's signal set.
const SIGSET_BYTES: usize = 8;

/// The capabilities that steps may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capabilities(CapabilitySet);

impl Capabilities {
    /// Those that the host names; `None` leaves all that the agent has.
    pub(crate) fn new(numbers: Option<&[u8]>) -> Self {
        let bit = |number: &u8| 1u64.checked_shl(u32::from(*number)).unwrap_or_default();
        Self(numbers.map_or(CapabilitySet::all(), |numbers| {
            CapabilitySet::from_bits_retain(numbers.iter().map(bit).fold(0, |all, one| all | one))
        }))
    }
}

/// A process that has been started.
pub(crate) struct Launched {
    /// Its number.
    pub(crate) pid: u32,
    /// Where it writes.
    pub(crate) output: Output,
    /// Where its stdin comes from, if it is not `/dev/null`.
    pub(crate) input: Option<Source>,
}

/// The agent's ends of a step's stdout and stderr; non-blocking.
pub(crate) enum Output {
    /// A pipe for each stream.
    Pipes { stdout: File, stderr: File },
    /// The terminal for both.
    Terminal(File),
}

/// Both ends of a step's descriptors 0, 1 and 2.
struct Streams {
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
    output: Output,
    input: Option<Source>,
}

/// Starts a step; an error is a sentence for the author of the step.
pub(crate) fn launch(step: &Step, capabilities: Capabilities) -> Result<Launched> {
    let Step { index: _, argv, files: _, env, cwd, user, stdin, timeout_ms: _ } = step;
    let Some((program, arguments)) = argv.split_first() else { bail!("there is no program to run") };
    ensure!(program.starts_with('/'), "program {program:?} is not an absolute path");
    let account = account::find(user)?;
    check_directory(cwd)?;
    fs::metadata(program).with_context(|| format!("program {program}"))?;

    let uid = account.uid.as_raw();
    let Streams { stdin: reads, stdout, stderr, output, input } = streams(stdin, uid)?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(env.iter().map(|(name, value)| (name, value)));
    command.current_dir(cwd).stdin(reads).stdout(stdout).stderr(stderr);
    let stdin_kind = match stdin {
        Stdin::Null | Stdin::Pipe => StdinKind::Other,
        Stdin::Terminal(Terminal { term, .. }) => {
            command.env("TERM", term);
            StdinKind::Terminal
        }
    };
    let context = format!("start {program} in {cwd} as uid {uid}");
    // SAFETY: `become_step` makes system calls only; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(move || become_step(&account, capabilities, stdin_kind)) };
    // The agent keeps no Child: all children are reaped in one place.
    let pid = command.spawn().context(context)?.id();
    Ok(Launched { pid, output, input })
}

fn streams(stdin: &Stdin, uid: u32) -> Result<Streams> {
    if let Stdin::Terminal(wanted) = stdin {
        let terminal::Pair { ours, theirs } = terminal::open(wanted, uid)?;
        let copy = |file: &File| file.try_clone().context("copy a descriptor of the terminal");
        let input = Some(Source::Terminal(copy(&ours)?));
        let (stdin, stdout, stderr) = (copy(&theirs)?.into(), copy(&theirs)?.into(), theirs.into());
        return Ok(Streams { stdin, stdout, stderr, output: Output::Terminal(ours), input });
    }
    let (stdout, stdout_end) = io::pipe().context("make a pipe for stdout")?;
    let (stderr, stderr_end) = io::pipe().context("make a pipe for stderr")?;
    for pipe in [&stdout_end, &stderr_end] {
        allow_opening(pipe)?;
    }
    let (stdin, input) = if *stdin == Stdin::Pipe {
        let (stdin_end, stdin) = io::pipe().context("make a pipe for stdin")?;
        allow_opening(&stdin_end)?;
        (stdin_end.into(), Some(Source::Pipe(non_blocking(stdin.into())?)))
    } else {
        (Stdio::null(), None)
    };
    let output = Output::Pipes { stdout: non_blocking(stdout.into())?, stderr: non_blocking(stderr.into())? };
    Ok(Streams { stdin, stdout: stdout_end.into(), stderr: stderr_end.into(), output, input })
}

fn check_directory(cwd: &str) -> Result<()> {
    let metadata = fs::metadata(Path::new(cwd)).with_context(|| format!("working directory {cwd}"))?;
    ensure!(metadata.is_dir(), "working directory {cwd}: not a directory");
    Ok(())
}

/// Lets every user open a step's pipe or terminal through `/dev/stdin`, `/dev/stdout` and `/dev/stderr`, which lead to
/// `/proc/self/fd`: there the mode of the inode counts, and a pipe belongs to the agent's user with mode 0600. It is every
/// user and not the step's alone, since a step may change its user (`su`). The descriptors of another user's process cannot be
/// reached this way: `/proc/PID/fd` is open to processes that may trace it (proc_pid_fd(5)).
pub(crate) fn allow_opening(end: &impl AsFd) -> Result<()> {
    fchmod(end, Mode::from_bits_truncate(0o666)).context("set the mode of a step's pipe or terminal")
}

/// Makes a pipe's end non-blocking. The other end is an open file description of its own, and stays blocking.
fn non_blocking(pipe: OwnedFd) -> Result<File> {
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("make a pipe non-blocking")?;
    Ok(File::from(pipe))
}

/// Whether a step's stdin is a terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StdinKind {
    Terminal,
    Other,
}

/// Runs in the child, after std has put its descriptors and directory in place.
fn become_step(account: &Account, capabilities: Capabilities, stdin_kind: StdinKind) -> io::Result<()> {
    setsid()?;
    if stdin_kind == StdinKind::Terminal {
        // The controlling terminal of the new session: for Ctrl-C and /dev/tty.
        ioctl_tiocsctty(rustix::stdio::stdin())?;
    }
    umask(UMASK);
    // A signal that the agent's parent ignored would stay ignored. SIGKILL and SIGSTOP fail, and cannot be ignored. The C library
    // would refuse the signals that it reserves.
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: `DEFAULT_ACTION` is as large as the kernel's struct sigaction, and no old one is asked for.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT_ACTION.as_ptr(),
                ptr::null_mut::<u64>(),
                SIGSET_BYTES,
            )
        };
    }
    unblock_signals()?;
    drop_capabilities(capabilities)?;
    switch_user(account)?;
    // Closed by exec and not now: std reports a failed exec through one of them.
    // SAFETY: plain numbers.
    let closed = unsafe {
        libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    Ok(Errno::result(closed).map(drop)?)
}

/// Gives the step an empty signal mask: it would inherit the signals that the agent reads from a signalfd, and std leaves the
/// mask alone.
fn unblock_signals() -> io::Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}

/// Takes from the bounding set what is not allowed, while the process may still do so.
fn drop_capabilities(Capabilities(allowed): Capabilities) -> io::Result<()> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        // The kernel knows no capability of the first number that it refuses, nor of a higher one.
        let Ok(has) = capability_is_in_bounding_set(capability) else { break };
        if has && !allowed.contains(capability) {
            remove_capability_from_bounding_set(capability)?;
        }
    }
    inherit_none()
}

/// Clears the inheritable set: capabilities that a parent left in it would bypass the bounding set (capabilities(7)).
fn inherit_none() -> io::Result<()> {
    let mut sets = capabilities(None)?;
    // A capability that cannot be inherited is no longer ambient either.
    sets.inheritable = CapabilitySet::empty();
    Ok(set_capabilities(None, sets)?)
}

fn switch_user(account: &Account) -> io::Result<()> {
    let Account { uid, gid, groups } = account;
    match setgroups(groups) {
        // A user namespace made by an ordinary user has one group and cannot change it.
        Err(Errno::EPERM) if geteuid() == *uid => {}
        changed => changed?,
    }
    setgid(*gid)?;
    Ok(setuid(*uid)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_bits_and_all_by_default() {
        let some = Capabilities::new(Some(&[0, 21, 200]));
        assert_eq!(some, Capabilities(CapabilitySet::CHOWN | CapabilitySet::SYS_ADMIN));
        assert_eq!(Capabilities::new(None).0.bits(), u64::MAX);
    }
}
