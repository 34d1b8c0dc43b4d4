//! The user namespace of steps: made when the mounts of a world stand, entered by the agent when all of it does.
//!
//! ```text
//! as the agent was started (root of the machine, or of a user's namespace): act_as, mounts
//!   -> Entrance::make: the namespaces exist; the agent is in their mounts and network, with its old rights
//! files, limits, loopback, fanotify
//!   -> Entrance::enter: the agent, and every step after it, is root of the new namespace and of nothing else
//! ```
//!
//! A mount that was made before is locked in the new mount namespace (mount_namespaces(7)): it can be neither unmounted nor
//! made writable there, whatever capability a step is granted. And the agent's memory belongs to the namespace in which it was
//! started: since it is not dumpable, no process in the new one can trace it, read it or take its descriptors, with CAP_SYS_PTRACE
//! neither (ptrace(2), "Ptrace access mode checking").
#![expect(unsafe_code, reason = "a child that holds namespaces until they have been opened")]
// UNSAFETY: a fork whose child only waits, and ends by _exit.

use std::{
    fs::{self, File},
    io::{PipeReader, PipeWriter, Read, pipe},
};

use anyhow::{Context, Result};
use kiln_protocol::{IdRange, NetworkNamespace, UserNamespace};
use nix::{
    errno::Errno,
    libc,
    sched::{CloneFlags, setns, unshare},
    sys::{
        prctl::{get_pdeathsig, set_pdeathsig},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Gid, Pid, Uid, fork, setfsgid, setfsuid, setgid, setgroups, setuid},
};

use crate::{capability, processes};

/// Has what the agent makes from now on belong to `first`, root of the namespace to come, without giving up a capability.
pub(crate) fn act_as(first: u32) -> Result<()> {
    if first == 0 {
        return Ok(());
    }
    setfsgid(Gid::from_raw(first));
    setfsuid(Uid::from_raw(first));
    capability::raise().context("keep the capabilities")
}

/// The namespaces, whose mounts and network the agent is in.
pub(crate) struct Entrance {
    user: File,
}

impl Entrance {
    /// Makes them, and joins all but the user namespace.
    pub(crate) fn make(namespace: &UserNamespace) -> Result<Self> {
        let UserNamespace { first, network } = *namespace;
        let more = match network {
            NetworkNamespace::Kept => CloneFlags::CLONE_NEWNS,
            NetworkNamespace::New => CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET,
        };
        let (uids, gids) = (ranges("uid_map", first)?, ranges("gid_map", first)?);
        let (user, mounts, net) = with_child(&uids, &gids, more, |child| {
            let open = |name: &str| {
                File::open(format!("/proc/{child}/ns/{name}"))
                    .with_context(|| format!("open its {name} namespace"))
            };
            Ok((open("user")?, open("mnt")?, open("net")?))
        })?;
        setns(&mounts, CloneFlags::CLONE_NEWNS).context("join the mount namespace of steps")?;
        if more.contains(CloneFlags::CLONE_NEWNET) {
            setns(&net, CloneFlags::CLONE_NEWNET).context("join the network namespace of steps")?;
        }
        Ok(Self { user })
    }

    /// Becomes root of the user namespace, for good.
    pub(crate) fn enter(self) -> Result<()> {
        let signal = get_pdeathsig().context("ask what the end of the parent sends")?;
        setns(&self.user, CloneFlags::CLONE_NEWUSER).context("enter the user namespace of steps")?;
        match setgroups(&[]) {
            // One that an ordinary user has made without a range of ids has one group, and cannot change it.
            Ok(()) | Err(Errno::EPERM) => {}
            Err(errno) => return Err(errno).context("leave all groups"),
        }
        setgid(Gid::from_raw(0)).context("become root of the user namespace")?;
        setuid(Uid::from_raw(0)).context("become root of the user namespace")?;
        // A change of ids clears the one and sets the other (prctl(2)).
        set_pdeathsig(signal).context("end with the parent")?;
        processes::shield()
    }
}

/// The ids of the namespace (from) and what they are outside (to): those from `first` on, or, with 0, all that exist here as they
/// are.
fn ranges(map: &str, first: u32) -> Result<Vec<IdRange>> {
    if first != 0 {
        return Ok(vec![IdRange { from: 0, to: first, count: u32::MAX - first }]);
    }
    let path = format!("/proc/self/{map}");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    text.lines()
        .map(|line| existing(line).with_context(|| format!("understand {line:?} of {path}")))
        .collect()
}

/// A line of `uid_map`: first id inside, first outside, how many.
fn existing(line: &str) -> Option<IdRange> {
    let mut numbers = line.split_ascii_whitespace().map(|number| number.parse().ok());
    let (first, _outside, count) = (numbers.next()??, numbers.next()?, numbers.next()??);
    Some(IdRange { from: first, to: first, count })
}

/// Makes a user namespace with these maps, and `more` that belong to it; they last for as long as what `open` opens.
pub(crate) fn with_child<T>(
    uids: &[IdRange],
    gids: &[IdRange],
    more: CloneFlags,
    open: impl FnOnce(Pid) -> Result<T>,
) -> Result<T> {
    let (mut ready, is_ready) = pipe().context("make a pipe")?;
    let (is_done, done) = pipe().context("make a pipe")?;
    // SAFETY: the agent has one thread; the child makes system calls on what it has, and ends by _exit.
    let child = match unsafe { fork() }.context("fork")? {
        ForkResult::Child => {
            drop(done);
            hold(more, is_ready, &is_done)
        }
        ForkResult::Parent { child } => child,
    };
    drop((is_ready, is_done));
    let opened = (|| {
        ready.read_to_end(&mut Vec::new()).context("wait for a process")?;
        let write =
            |name: &str, ranges: &[IdRange]| fs::write(format!("/proc/{child}/{name}"), lines(ranges));
        write("uid_map", uids).context("map users")?;
        write("gid_map", gids).context("map groups")?;
        open(child)
    })();
    drop(done);
    match waitpid(child, None).context("wait for a process")? {
        WaitStatus::Exited(_, code) if code != 0 => {
            Err(Errno::from_raw(code)).context("make a user namespace")
        }
        _ => opened.context("make a user namespace"),
    }
}

/// In a child: has the namespaces until the agent has looked.
fn hold(more: CloneFlags, is_ready: PipeWriter, mut is_done: &PipeReader) -> ! {
    let code = match unshare(CloneFlags::CLONE_NEWUSER | more) {
        Ok(()) => {
            drop(is_ready);
            let _ = is_done.read(&mut [0]);
            0
        }
        Err(errno) => errno as libc::c_int,
    };
    // SAFETY: ends the child without running anything of the agent's.
    unsafe { libc::_exit(code) }
}

fn lines(ranges: &[IdRange]) -> String {
    ranges.iter().map(|IdRange { from, to, count }| format!("{from} {to} {count}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_the_ids_that_exist_or_a_range_of_its_own() {
        let range = |from, to, count| IdRange { from, to, count };
        assert_eq!(existing("      1000     100000      65536"), Some(range(1000, 1000, 65_536)));
        assert_eq!(existing("0 0"), None);
        let first = 0x8000_0000;
        assert_eq!(ranges("uid_map", first).expect("known"), [range(0, first, 0x7fff_ffff)]);
        assert_eq!(lines(&[range(0, 5, 1), range(1, 1, 4)]), "0 5 1\n1 1 4\n");
    }
}
