//! The user namespace of steps: made before the mounts, entered by the agent when everything is prepared.
//!
//! ```text
//! with the agent's first rights (root of the machine, or of a user's namespace): create_files_as, Prepared::new, mounts
//!   -> Prepared::join: the agent is in the mount and network namespaces of steps, with its first rights
//! files, limits, loopback, fanotify
//!   -> Entry::enter: the agent, and every step after it, is root of the new namespace and of nothing else
//! ```
//!
//! A mount that was made before is locked in the new mount namespace (mount_namespaces(7)): it can be neither unmounted nor
//! made writable there, whatever capability a step has. The agent's memory belongs to the namespace in which it was started, and
//! is not dumpable: no process of the new namespace can trace it, read it or take its descriptors, even with CAP_SYS_PTRACE
//! (ptrace(2), "Ptrace access mode checking").
#![expect(unsafe_code, reason = "a child that holds namespaces until they have been opened")]
// UNSAFETY: a fork whose child only waits, and ends by _exit.

use std::{
    fs::{self, File},
    io::{PipeReader, PipeWriter, Read, Write, pipe},
};

use anyhow::{Context, Result, bail};
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

/// Makes `first`, root of the later namespace, the owner of all files that the agent creates. The agent keeps its capabilities.
pub(crate) fn create_files_as(first: u32) -> Result<()> {
    if first == 0 {
        return Ok(());
    }
    setfsgid(Gid::from_raw(first));
    setfsuid(Uid::from_raw(first));
    capability::raise().context("keep the capabilities")
}

/// A user namespace, held by a process that waits.
pub(crate) struct Prepared {
    holder: Holder,
    /// The namespace.
    pub(crate) user: File,
    /// Its maps of users and groups.
    pub(crate) maps: (Vec<IdRange>, Vec<IdRange>),
    network: NetworkNamespace,
}

impl Prepared {
    /// Makes it before the mounts, since idmapped mounts use it.
    pub(crate) fn new(namespace: &UserNamespace) -> Result<Self> {
        let UserNamespace { first, network } = *namespace;
        let maps = (ranges("uid_map", first)?, ranges("gid_map", first)?);
        let holder = Holder::start(&maps.0, &maps.1)?;
        let user = holder.open("user")?;
        Ok(Self { holder, user, maps, network })
    }

    /// Makes mount and network namespaces in it, and joins them. All mounts are in the new namespace, and locked there.
    pub(crate) fn join(self) -> Result<Entry> {
        let Self { mut holder, user, maps: _, network } = self;
        let more = match network {
            NetworkNamespace::Kept => CloneFlags::CLONE_NEWNS,
            NetworkNamespace::New => CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET,
        };
        holder.unshare(more)?;
        setns(holder.open("mnt")?, CloneFlags::CLONE_NEWNS).context("join the mount namespace of steps")?;
        if network == NetworkNamespace::New {
            setns(holder.open("net")?, CloneFlags::CLONE_NEWNET)
                .context("join the network namespace of steps")?;
        }
        holder.end()?;
        Ok(Entry { user })
    }
}

/// The way into the user namespace; the agent is in its mount and network namespaces already.
pub(crate) struct Entry {
    user: File,
}

impl Entry {
    /// Becomes root of the user namespace, for good.
    pub(crate) fn enter(self) -> Result<()> {
        let signal = get_pdeathsig().context("ask what the end of the parent sends")?;
        setns(&self.user, CloneFlags::CLONE_NEWUSER).context("enter the user namespace of steps")?;
        match setgroups(&[]) {
            // A namespace that an ordinary user has made without a range of ids has one group, and cannot change it.
            Ok(()) | Err(Errno::EPERM) => {}
            Err(errno) => return Err(errno).context("leave all groups"),
        }
        setgid(Gid::from_raw(0)).context("become root of the user namespace")?;
        setuid(Uid::from_raw(0)).context("become root of the user namespace")?;
        // A change of ids clears the signal, and makes the process dumpable (prctl(2)).
        set_pdeathsig(signal).context("set the parent-death signal")?;
        processes::shield()
    }
}

/// The ids of the namespace (from) and outside (to): those from `first` on, or, with 0, all that exist here, unchanged.
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

/// A user namespace with these maps, for idmapped mounts.
pub(crate) fn of_maps(uids: &[IdRange], gids: &[IdRange]) -> Result<File> {
    let holder = Holder::start(uids, gids)?;
    let user = holder.open("user")?;
    holder.end()?;
    Ok(user)
}

/// A child that holds namespaces until they are open. It ends when its pipe is closed.
struct Holder {
    pid: Pid,
    replies: PipeReader,
    requests: PipeWriter,
}

impl Holder {
    /// Starts one in a new user namespace.
    fn start(uids: &[IdRange], gids: &[IdRange]) -> Result<Self> {
        let (replies, mut reply_to) = pipe().context("make a pipe")?;
        let (mut requests_from, requests) = pipe().context("make a pipe")?;
        // SAFETY: the agent has one thread; the child makes system calls on what it has, and ends by _exit.
        let pid = match unsafe { fork() }.context("fork")? {
            ForkResult::Child => {
                drop((replies, requests));
                let code = serve(&mut reply_to, &mut requests_from)
                    .err()
                    .map_or(0, |error| error.raw_os_error().unwrap_or(1));
                // SAFETY: ends the child without running anything of the agent's.
                unsafe { libc::_exit(code) }
            }
            ForkResult::Parent { child } => child,
        };
        let mut holder = Self { pid, replies, requests };
        holder.wait_for_reply().context("make a user namespace")?;
        holder.map("uid_map", uids).context("map users")?;
        holder.map("gid_map", gids).context("map groups")?;
        Ok(holder)
    }

    fn map(&self, name: &str, ranges: &[IdRange]) -> std::io::Result<()> {
        fs::write(format!("/proc/{}/{name}", self.pid), lines(ranges))
    }

    fn open(&self, name: &str) -> Result<File> {
        let path = format!("/proc/{}/ns/{name}", self.pid);
        File::open(&path).with_context(|| format!("open {path}"))
    }

    /// Makes it create these namespaces, too.
    fn unshare(&mut self, more: CloneFlags) -> Result<()> {
        self.requests
            .write_all(&more.bits().to_ne_bytes())
            .context("send a request to the holder of namespaces")?;
        self.wait_for_reply().with_context(|| format!("make namespaces ({more:?})"))
    }

    /// Waits for the reply to a request. A child that failed has exited with the error number.
    fn wait_for_reply(&mut self) -> Result<()> {
        if self.replies.read_exact(&mut [0]).is_ok() {
            return Ok(());
        }
        match waitpid(self.pid, None).context("wait for a process")? {
            WaitStatus::Exited(_, code) => Err(Errno::from_raw(code).into()),
            ended => bail!("a process ended: {ended:?}"),
        }
    }

    fn end(self) -> Result<()> {
        let Self { pid, replies: _, requests } = self;
        drop(requests);
        waitpid(pid, None).context("wait for a process").map(drop)
    }
}

/// In the child: makes a user namespace, then those that are requested, until the pipe is closed.
fn serve(replies: &mut PipeWriter, requests: &mut PipeReader) -> std::io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)?;
    replies.write_all(&[0])?;
    let mut more = [0; size_of::<libc::c_int>()];
    while requests.read_exact(&mut more).is_ok() {
        unshare(CloneFlags::from_bits_retain(libc::c_int::from_ne_bytes(more)))?;
        replies.write_all(&[0])?;
    }
    Ok(())
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
