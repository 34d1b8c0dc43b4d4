//! Into a jail: its ids and namespaces, then process 1, which makes the prepared directory the root and starts the program.
//!
//! Before it: [`super::root`]. After it: [`super::limits`], and exec.
#![expect(unsafe_code, reason = "fork of a process with one thread, and an ioctl")]
// UNSAFETY: see each block. The process that makes a jail has one thread, so that a forked copy of it may do anything.

use std::{
    ffi::{CString, OsString},
    fs::File,
    io::{PipeReader, pipe},
    os::{
        fd::{AsFd, AsRawFd, RawFd},
        unix::ffi::OsStrExt,
    },
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    libc,
    mount::{MntFlags, MsFlags, mount, umount2},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, setns, unshare},
    sys::{
        prctl,
        signal::Signal,
        socket::{AddressFamily, SockFlag, SockType, socket},
        wait::{WaitStatus, wait, waitpid},
    },
    unistd::{
        ForkResult, Gid, Pid, Uid, chdir, execvp, fork, getppid, pivot_root, setgroups, sethostname,
        setresgid, setresuid,
    },
};

use super::{
    super::{
        exec::close_inherited_on_exec,
        syscall::{check, exit},
    },
    limits,
    request::JailNetwork,
};

/// What programs see as the machine's name.
const HOSTNAME: &str = "localhost";
/// As a shell says it: not found or not to be executed, and ended by a signal.
const EXIT_NO_PROGRAM: u8 = 127;
const EXIT_SIGNAL: i32 = 128;

/// Becomes root of `namespace`, in new namespaces of all other kinds; those of processes hold for children.
pub(super) fn enter(namespace: &File, network: JailNetwork, parent: Pid) -> Result<()> {
    setns(namespace, CloneFlags::CLONE_NEWUSER).context("enter the user namespace")?;
    setgroups(&[]).context("give up all groups")?;
    let (user, group) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(group, group, group).context("become the namespace's root")?;
    setresuid(user, user, user).context("become the namespace's root")?;
    // The change of ids has cleared the signal (prctl(2)).
    prctl::set_pdeathsig(Signal::SIGKILL).context("ask for the parent's end")?;
    if getppid() != parent {
        bail!("the parent has ended");
    }
    let mut kinds = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    if network == JailNetwork::None {
        kinds |= CloneFlags::CLONE_NEWNET;
    }
    unshare(kinds).context("unshare the other namespaces")?;
    sethostname(HOSTNAME).context("set the hostname")?;
    if network == JailNetwork::None {
        raise_loopback().context("set up the loopback")?;
    }
    Ok(())
}

/// Runs `argv` as a child of process 1 of the jail; returns its exit code.
pub(super) fn run(keep: &[RawFd], argv: &[OsString]) -> Result<u8> {
    let (ours, theirs) = pipe().context("make a pipe")?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }.context("start the jail's first process")? {
        ForkResult::Child => {
            drop(theirs);
            // `exit` runs no destructor of the parent.
            end(be_init(&ours, keep, argv))
        }
        ForkResult::Parent { child } => {
            drop(ours);
            let code = code(waitpid(child, None).context("wait for the jail")?);
            drop(theirs);
            Ok(code)
        }
    }
}

/// Process 1: reaps orphans; when it ends, all other processes do.
fn be_init(parent: &PipeReader, keep: &[RawFd], argv: &[OsString]) -> Result<u8> {
    prctl::set_pdeathsig(Signal::SIGKILL).context("ask for the parent's end")?;
    // It may have ended before; process 1 has no parent pid to compare.
    let mut ended = [PollFd::new(parent.as_fd(), PollFlags::POLLIN)];
    if poll(&mut ended, PollTimeout::ZERO).context("look for the parent")? > 0 {
        bail!("the parent has ended");
    }
    take_root()?;
    limits::confine()?;
    // SAFETY: this process has one thread.
    let program = match unsafe { fork() }.context("start the program")? {
        ForkResult::Child => end(execute(keep, argv)),
        ForkResult::Parent { child } => child,
    };
    // Root of the jail could open descriptors of process 1 by /proc/1/fd.
    // SAFETY: plain system call; nothing here uses a descriptor any more.
    unsafe { libc::close_range(0, libc::c_uint::MAX, 0) };
    loop {
        match wait() {
            Ok(status) if status.pid() == Some(program) && is_end(status) => return Ok(code(status)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("wait for the program"),
        }
    }
}

/// Makes the working directory the root, and unmounts the host's.
fn take_root() -> Result<()> {
    let none = None::<&str>;
    // While the host's /proc is still mounted, without which Linux permits no new one in a user namespace.
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "proc", Some("proc"), quiet, none).context("mount /proc")?;
    // A mount of the parent's mount namespace cannot become the root, but a copy of it can. /proc is a path that always exists.
    mount(Some("."), "/proc", none, MsFlags::MS_BIND | MsFlags::MS_REC, none).context("copy the root")?;
    chdir("/proc").context("enter the root")?;
    // pivot_root(2): the old root is stacked on the new one.
    pivot_root(".", ".").context("change the root")?;
    umount2(".", MntFlags::MNT_DETACH).context("unmount the host's root")?;
    chdir("/").context("enter the root")
}

fn execute(keep: &[RawFd], argv: &[OsString]) -> Result<u8> {
    close_inherited_on_exec().context("close descriptors")?;
    for number in keep {
        // SAFETY: plain system call: this descriptor the program is to have.
        check(unsafe { libc::fcntl(*number, libc::F_SETFD, 0) }).context("hand over a descriptor")?;
    }
    let words: Result<Vec<CString>, _> = argv.iter().map(|word| CString::new(word.as_bytes())).collect();
    let words = words.context("an argument has a zero byte")?;
    let Err(error) = execvp(&words[0], &words);
    Err(error).with_context(|| format!("run {}", words[0].to_string_lossy()))
}

/// Ends a forked copy.
fn end(result: Result<u8>) -> ! {
    let code = result.unwrap_or_else(|error| {
        // Best effort: the exit code says it, too.
        let _ = nix::unistd::write(std::io::stderr(), format!("in a jail: {error:#}\n").as_bytes());
        EXIT_NO_PROGRAM
    });
    exit(code.into())
}

fn is_end(status: WaitStatus) -> bool {
    matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..))
}

fn code(status: WaitStatus) -> u8 {
    let code = match status {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => EXIT_SIGNAL + signal as i32,
        _ => EXIT_SIGNAL,
    };
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// Some packages' scripts connect to a daemon that they have started.
fn raise_loopback() -> Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: an all-zero ifreq is valid; the call reads it and outlives nothing (netdevice(7)).
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = from.cast_signed() as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request))?;
    }
    Ok(())
}
