//! This process as a server with one directory of the host: namespaces, a new root, few capabilities, a filter of system calls.
//!
//! ```text
//! kiln --> kiln __virtiofs … --fork--> process 1 of a pid namespace
//!          waits, without rights       root directory, limits, the server
//! ```
//!
//! The caller is a program of its own, with one thread. This module must not know what the server serves.
#![expect(unsafe_code, reason = "fork of a process with one thread, and descriptors by their numbers")]
// UNSAFETY: see each block.

use std::{
    fs::{self, File},
    io::{PipeReader, pipe},
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    libc,
    mount::{MntFlags, MsFlags, mount, umount2},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, chdir, chroot, fork, getegid, geteuid, getppid, pivot_root, setgroups},
};
use rustix::{
    fs::CWD,
    mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree},
    thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
        set_capabilities,
    },
};
use seccompiler::sock_filter;

use super::{
    idmapped::{Attributes, set_attributes},
    landlock::stay_beneath,
    syscall::{check, exit},
};

/// What stands between the server and the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// Namespaces of its own: user (unless it is root's), mount, pid, network, ipc, uts and cgroup.
    Namespaces,
    /// A root directory of its own, and by Landlock (Linux 5.19) no file outside it: for root where namespaces cannot be made.
    Root,
}

/// What is left to the server.
#[derive(Debug, Clone, Copy)]
pub struct Confinement<'a> {
    /// The directory that becomes its root.
    pub root: &'a Path,
    /// Whether its mounts are made read-only; [`Boundary::Root`] cannot do that.
    pub read_only: bool,
    /// The boundary.
    pub boundary: Boundary,
    /// The capabilities that it keeps, as far as it has them.
    pub capabilities: CapabilitySet,
    /// Filters of system calls; the strictest answer counts (seccomp(2)).
    pub filters: &'a [Vec<sock_filter>],
}

/// The exit code of a server that could not be confined or failed.
const EXIT_FAILED: i32 = 1;

/// The descriptor `number`, which the parent has handed to this program. To be called once for each.
pub fn inherited(number: RawFd) -> Result<OwnedFd> {
    // SAFETY: plain system call on a number: a descriptor that is not open gives an error.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })
        .with_context(|| format!("take descriptor {number}"))?;
    // SAFETY: it is open, and only this function makes an owner of it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Confines this process and runs `serve` with a descriptor of its `/proc/self/fd`. With namespaces it is a copy that serves, and this
/// function does not return: both processes exit.
///
/// # Errors
/// When the confinement cannot be made, and those of `serve`.
pub fn run_confined(confinement: Confinement<'_>, serve: impl FnOnce(File) -> Result<()>) -> Result<()> {
    if confinement.boundary == Boundary::Namespaces {
        return in_namespaces(confinement, serve);
    }
    let descriptors = open_path(Path::new("/proc/self/fd")).context("open /proc/self/fd")?;
    setgroups(&[]).context("give up all groups")?;
    let root = confinement.root;
    chroot(root).with_context(|| format!("make {} the root", root.display()))?;
    chdir("/").context("enter the root")?;
    let directory = open_path(Path::new("/")).context("open the root")?;
    keep_capabilities(confinement.capabilities)?;
    prctl::set_no_new_privs().context("give up new privileges")?;
    // The directory of descriptors lies in the host's /proc, from which a path leads to all of the host. Kernels before 5.19 have
    // nothing against that but the absence of a way for the guest to choose such a path.
    stay_beneath(directory.as_fd()).context("leave no other files")?;
    restrict(confinement.filters)?;
    serve(descriptors)
}

fn in_namespaces(confinement: Confinement<'_>, serve: impl FnOnce(File) -> Result<()>) -> Result<()> {
    enter(getppid()).context("make namespaces")?;
    let (ours, theirs) = pipe().context("make a pipe")?;
    // SAFETY: this process has one thread.
    let result = match unsafe { fork() }.context("start process 1")? {
        ForkResult::Child => {
            drop(theirs);
            be_init(&ours, &confinement, serve).map(|()| 0)
        }
        ForkResult::Parent { child } => wait_without_rights(child, theirs.as_raw_fd()),
    };
    // `exit` runs no destructor: the parent has closed descriptors that still have owners.
    exit(result.unwrap_or_else(|error| {
        // Best effort: the exit code shows it, too.
        let _ = nix::unistd::write(std::io::stderr(), format!("{error:#}\n").as_bytes());
        EXIT_FAILED
    }))
}

/// Enters new namespaces; that of processes holds for children.
fn enter(parent: Pid) -> Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    let mut kinds = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    if uid.is_root() {
        setgroups(&[]).context("give up all groups")?;
        unshare(kinds).context("unshare namespaces")?;
    } else {
        kinds |= CloneFlags::CLONE_NEWUSER;
        unshare(kinds).context("unshare namespaces")?;
        // A user may map the own id only, after giving up setgroups(2) (user_namespaces(7)).
        for (file, text) in [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("{uid} {uid} 1")),
            ("gid_map", format!("{gid} {gid} 1")),
        ] {
            fs::write(format!("/proc/self/{file}"), text).with_context(|| format!("write {file}"))?;
        }
    }
    // A change of credentials has cleared the signal (prctl(2)).
    prctl::set_pdeathsig(Signal::SIGKILL).context("ask for the parent's end")?;
    if getppid() != parent {
        bail!("the parent has ended");
    }
    Ok(())
}

fn be_init(
    parent: &PipeReader,
    confinement: &Confinement<'_>,
    serve: impl FnOnce(File) -> Result<()>,
) -> Result<()> {
    let descriptors = take_root(confinement)?;
    keep_capabilities(confinement.capabilities)?;
    prctl::set_pdeathsig(Signal::SIGKILL).context("ask for the parent's end")?;
    // It may have ended before; process 1 has no parent pid to compare.
    let mut ended = [PollFd::new(parent.as_fd(), PollFlags::POLLIN)];
    if poll(&mut ended, PollTimeout::ZERO).context("look for the parent")? > 0 {
        bail!("the parent has ended");
    }
    restrict(confinement.filters)?;
    serve(descriptors)
}

/// Makes the directory the root, with nothing else of the host. Returns a descriptor of this process's `/proc/self/fd`, above which
/// there is nothing.
fn take_root(confinement: &Confinement<'_>) -> Result<File> {
    let Confinement { root, read_only, .. } = confinement;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none).context("make mounts private")?;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let opened = open_tree(
        CWD,
        *root,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE,
    );
    let tree = opened.with_context(|| format!("take {}", root.display()))?;
    // The server executes nothing and opens no devices; the guest's rights are in the modes of the files.
    let restricted: Attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
    let access: Attributes = if *read_only { libc::MOUNT_ATTR_RDONLY } else { 0 };
    set_attributes(&tree, restricted | access).context("restrict the directory's mounts")?;
    mount(Some("proc"), "/proc", Some("proc"), quiet, none).context("mount /proc")?;
    // The descriptors alone: their directory has no parent in which other files of /proc are.
    mount(Some("/proc/self/fd"), "/proc", none, MsFlags::MS_BIND, none).context("mount /proc/self/fd")?;
    let descriptors = open_path(Path::new("/proc")).context("open /proc/self/fd")?;
    move_mount(&tree, "", CWD, *root, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .with_context(|| format!("mount {}", root.display()))?;
    rustix::process::fchdir(&tree).context("enter the root")?;
    // pivot_root(2): the old root is stacked on the new one.
    pivot_root(".", ".").context("change the root")?;
    umount2(".", MntFlags::MNT_DETACH).context("unmount the host's root")?;
    chdir("/").context("enter the root")?;
    Ok(descriptors)
}

fn restrict(filters: &[Vec<sock_filter>]) -> Result<()> {
    prctl::set_no_new_privs().context("give up new privileges")?;
    filters
        .iter()
        .try_for_each(|filter| seccompiler::apply_filter(filter))
        .context("load a filter of system calls")
}

/// Gives up all capabilities but the wanted ones.
fn keep_capabilities(wanted: CapabilitySet) -> Result<()> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if !wanted.contains(capability) {
            // Best effort: a number that the kernel does not know is no capability, and a user without CAP_SETPCAP has none to lose.
            let _ = remove_capability_from_bounding_set(capability);
        }
    }
    clear_ambient_capability_set().context("give up ambient capabilities")?;
    let kept = rustix::thread::capabilities(None).context("read the capabilities")?.permitted & wanted;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).context("give up capabilities")
}

/// Waits for process 1 and returns its exit code. Nothing stays open but the standard streams and the pipe, whose end tells process 1
/// that this process has ended.
fn wait_without_rights(child: Pid, pipe: RawFd) -> Result<i32> {
    let pipe = pipe.unsigned_abs();
    for (first, last) in [(3, pipe.saturating_sub(1)), (pipe + 1, libc::c_uint::MAX)] {
        if first <= last {
            // SAFETY: plain system call; nothing uses these descriptors before this process exits.
            check(unsafe { libc::close_range(first, last, 0) }).context("close descriptors")?;
        }
    }
    keep_capabilities(CapabilitySet::empty())?;
    prctl::set_pdeathsig(Signal::SIGKILL).context("ask for the parent's end")?;
    loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => bail!("ended by {signal}"),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("wait for process 1"),
        }
    }
}

fn open_path(path: &Path) -> std::io::Result<File> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    File::options().read(true).custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests {
    use nix::{
        fcntl::{OFlag, openat},
        sys::stat::Mode,
    };

    use super::*;
    use crate::process::{landlock_version, passes_filter};

    /// The process of [`a_server_in_a_chroot_reaches_nothing_of_the_host`], in the directory that becomes its root.
    #[test]
    #[ignore = "it changes the root directory of the process that it runs in"]
    fn a_server_in_a_chroot() {
        let root = std::env::current_dir().expect("it is there");
        let capabilities = CapabilitySet::CHOWN | CapabilitySet::DAC_OVERRIDE;
        let confinement = Confinement {
            root: &root,
            read_only: false,
            boundary: Boundary::Root,
            capabilities,
            filters: &[],
        };
        let served = run_confined(confinement, |descriptors| {
            fs::write("/inside", "written")?;
            fs::rename("/inside", "/directory/inside").context("rename to another directory")?;
            fs::hard_link("/directory/inside", "/linked").context("link from another directory")?;
            let open = |path: &str| openat(&descriptors, path, OFlag::O_RDONLY, Mode::empty()).map(drop);
            let kept = rustix::thread::capabilities(None)?;
            assert_eq!((kept.effective, kept.permitted), (capabilities, capabilities));
            // It is the way by which the passthrough file system opens a file again.
            let again = File::open("/linked")?;
            assert_eq!(open(&again.as_raw_fd().to_string()), Ok(()));
            assert_eq!(open("../../../etc/passwd"), Err(Errno::EACCES));
            Ok(())
        });
        served.expect("confined");
    }

    #[test]
    fn a_server_in_a_chroot_reaches_nothing_of_the_host() {
        if !geteuid().is_root() || landlock_version() < 2 {
            // An ordinary user may not change the root.
            return;
        }
        let directory = tempfile::tempdir().expect("made");
        fs::create_dir(directory.path().join("directory")).expect("made");
        let this = std::env::current_exe().expect("it is known");
        let test = concat!(module_path!(), "::a_server_in_a_chroot").trim_start_matches("kiln::");
        let (this, root) = (this.to_str().expect("text"), directory.path().to_str().expect("text"));
        let script = "cd \"$1\" && shift && exec \"$@\"";
        let arguments = ["-c", script, "sh", root, this, "--ignored", "--exact", test];
        assert!(passes_filter("sh", &arguments, b"").expect("it can be started"));
        assert_eq!(fs::read(directory.path().join("linked")).expect("linked"), b"written");
    }
}
