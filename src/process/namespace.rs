//! A user namespace for one child, in which the files of the invoking user appear with another owner.
//!
//! Used by servers of files to a guest (QEMU's 9p, the C virtiofsd), for which the owner on the host is to be the step's user inside.
//! An ordinary user can map its own id only; root maps all existing ids, two of them swapped.
#![expect(unsafe_code, reason = "forks without the handlers of libc, which take locks")]
// UNSAFETY: see each block. The children make system calls only.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{Error, Read, Result, Write, pipe},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use anyhow::Context;
use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat},
    libc,
    sched::{CloneFlags, unshare},
    sys::{
        stat::Mode,
        wait::{WaitStatus, waitpid},
    },
    unistd::{self, Pid, pipe2},
};
use rustix::thread::{CapabilitySet, capabilities, configure_capability_in_ambient_set, set_capabilities};

use super::syscall::{check, exit};

/// A range of ids: the `count` ids from `inside` on are those from `outside` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// The first one in the namespace.
    pub inside: u32,
    /// The first one outside it.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Which ids a child's user namespace has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    uids: Vec<IdRange>,
    gids: Vec<IdRange>,
    rights: Rights,
}

/// Capabilities of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    /// None. A user that may map one id only has to give up setgroups(2), too.
    Ordinary,
    /// Read every file whose owner the namespace maps, as root can.
    ReadAnything,
    /// All in the namespace, for a daemon that confines itself and acts as several users.
    Everything,
}

impl IdMap {
    /// The invoking user and group appear as `uid` and `gid`, and no other id is mapped. Takes no capability.
    pub fn sole(uid: u32, gid: u32) -> Self {
        let one = |inside, outside| vec![IdRange { inside, outside, count: 1 }];
        Self {
            uids: one(uid, unistd::geteuid().as_raw()),
            gids: one(gid, unistd::getegid().as_raw()),
            rights: Rights::Ordinary,
        }
    }

    /// The invoking user (root) and group are swapped with `uid` and `gid`. All other ids are unchanged, and their files stay readable.
    /// Takes CAP_SETUID and CAP_SETGID.
    pub fn swap(uid: u32, gid: u32) -> anyhow::Result<Self> {
        Ok(Self {
            uids: swapped(&existing("/proc/self/uid_map")?, unistd::geteuid().as_raw(), uid),
            gids: swapped(&existing("/proc/self/gid_map")?, unistd::getegid().as_raw(), gid),
            rights: Rights::ReadAnything,
        })
    }

    /// These ranges, with all capabilities in the namespace.
    pub(super) fn of(uids: IdRange, gids: IdRange) -> Self {
        Self { uids: vec![uids], gids: vec![gids], rights: Rights::Everything }
    }

    /// The same map with all capabilities in the namespace, where [`Self::swap`] has only the one for reading.
    #[must_use]
    pub fn with_all_rights(mut self) -> Self {
        self.rights = Rights::Everything;
        self
    }

    /// The map by which the invoking user appears as `uid` and `gid`: [`Self::swap`] for root, [`Self::sole`] for others, `None` where
    /// both are the same already.
    pub fn appearing_as(uid: u32, gid: u32) -> anyhow::Result<Option<Self>> {
        match (unistd::geteuid().as_raw(), unistd::getegid().as_raw()) {
            now if now == (uid, gid) => Ok(None),
            (0, _) => Self::swap(uid, gid).map(Some),
            _ => Ok(Some(Self::sole(uid, gid))),
        }
    }
}

/// The ids that exist here, as ranges of first and count: in a container not all do.
pub(super) fn existing(map: &str) -> anyhow::Result<Vec<(u32, u32)>> {
    let text = fs::read_to_string(map).with_context(|| format!("read {map}"))?;
    text.lines()
        .map(|line| parse_range(line).with_context(|| format!("understand {line:?} of {map}")))
        .collect()
}

fn parse_range(line: &str) -> Option<(u32, u32)> {
    let mut words = line.split_ascii_whitespace();
    let first = words.next()?.parse().ok()?;
    let count = words.nth(1)?.parse().ok()?;
    Some((first, count))
}

/// The identity on all `existing` ids, except that `here` appears as `there`, and `there` as `here`.
fn swapped(existing: &[(u32, u32)], here: u32, there: u32) -> Vec<IdRange> {
    let exists = |id: u32| existing.iter().any(|&(first, count)| id >= first && id - first < count);
    let mut map = vec![IdRange { inside: there, outside: here, count: 1 }];
    if here != there && exists(there) {
        map.push(IdRange { inside: here, outside: there, count: 1 });
    }
    let (low, high) = (u64::from(here.min(there)), u64::from(here.max(there)));
    for &(first, count) in existing {
        let (first, end) = (u64::from(first), u64::from(first) + u64::from(count));
        for (from, to) in
            [(first, end.min(low)), (first.max(low + 1), end.min(high)), (first.max(high + 1), end)]
        {
            if from < to {
                let id = u32::try_from(from).expect("at or below a 32-bit id");
                let count = u32::try_from(to - from).expect("no more than the range had");
                map.push(IdRange { inside: id, outside: id, count });
            }
        }
    }
    map
}

fn lines(ranges: &[IdRange]) -> Vec<u8> {
    let line = |IdRange { inside, outside, count }: &IdRange| format!("{inside} {outside} {count}\n");
    ranges.iter().map(line).collect::<String>().into_bytes()
}

/// An [`IdMap`] as bytes, for the time between fork and exec.
pub(super) struct NamespaceEntry {
    files: [(CString, Vec<u8>); 3],
    rights: Rights,
}

impl NamespaceEntry {
    pub(super) fn new(IdMap { uids, gids, rights }: IdMap) -> Self {
        let file = |name: &str, content: Vec<u8>| {
            (CString::new(name).expect("a literal without zero bytes"), content)
        };
        let setgroups: &[u8] = match rights {
            Rights::Ordinary => b"deny",
            Rights::ReadAnything | Rights::Everything => b"allow",
        };
        let setgroups = file("setgroups", setgroups.into());
        Self { files: [setgroups, file("uid_map", lines(&uids)), file("gid_map", lines(&gids))], rights }
    }

    /// Enters a new namespace. A helper that stays outside writes the maps, since a map of several ids takes capabilities in the parent
    /// namespace (user_namespaces(7)), which a process inside does not have.
    pub(super) fn enter(&self) -> Result<()> {
        let (ready, is_ready) = pipe2(OFlag::O_CLOEXEC)?;
        // Opened here, since the helper's /proc/self is another one.
        let proc_self = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let proc_self = open(c"/proc/self", proc_self, Mode::empty())?;
        // SAFETY: a fork without the handlers of libc; the helper makes system calls only, and ends by _exit.
        let helper = unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(libc::SIGCHLD), 0, 0, 0, 0) };
        let helper = check(libc::c_int::try_from(helper).expect("a process id or -1"))?;
        if helper == 0 {
            drop(is_ready);
            self.help(&ready, proc_self.as_fd());
        }
        let entered = unshare(CloneFlags::CLONE_NEWUSER);
        if entered.is_ok() {
            unistd::write(&is_ready, &[0])?;
        }
        // The helper sees the end of the pipe if nothing was written.
        drop((ready, is_ready, proc_self));
        let helped = wait_for(helper);
        entered?;
        helped?;
        match self.rights {
            Rights::Ordinary => Ok(()),
            Rights::ReadAnything => keep_over_exec(CapabilitySet::DAC_READ_SEARCH),
            Rights::Everything => keep_over_exec(CapabilitySet::all()),
        }
    }

    fn help(&self, ready: &OwnedFd, proc_parent: BorrowedFd<'_>) -> ! {
        let result = match unistd::read(ready, &mut [0]) {
            Ok(1) => self.write(proc_parent),
            Ok(_) | Err(_) => Err(Errno::ECHILD),
        };
        exit(result.map_or_else(|errno| errno as libc::c_int, |()| 0))
    }

    /// Writes the maps, from strings that were made before the fork.
    fn write(&self, proc_parent: BorrowedFd<'_>) -> nix::Result<()> {
        for (name, content) in &self.files {
            let file =
                openat(proc_parent, name.as_c_str(), OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
            unistd::write(file, content)?;
        }
        Ok(())
    }
}

fn wait_for(helper: libc::pid_t) -> Result<()> {
    let status = loop {
        match waitpid(Pid::from_raw(helper), None) {
            Err(Errno::EINTR) => {}
            status => break status?,
        }
    };
    match status {
        WaitStatus::Exited(_, 0) => Ok(()),
        WaitStatus::Exited(_, code) => Err(Error::from_raw_os_error(code)),
        _ => Err(Errno::ECHILD.into()),
    }
}

/// Makes the permitted capabilities of `wanted` ambient, so that exec preserves them for a user that is not root inside
/// (capabilities(7)).
fn keep_over_exec(wanted: CapabilitySet) -> Result<()> {
    let mut sets = capabilities(None)?;
    sets.inheritable |= sets.permitted & wanted;
    set_capabilities(None, sets)?;
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if sets.inheritable.contains(capability) {
            configure_capability_in_ambient_set(capability, true)?;
        }
    }
    Ok(())
}

/// A user namespace with this map, and no process in it.
pub(super) fn user_namespace(map: IdMap) -> Result<File> {
    let entry = NamespaceEntry::new(map);
    let (mut is_made, mut made) = pipe()?;
    let (mut is_seen, seen) = pipe()?;
    // SAFETY: a fork without the handlers of libc; the child makes system calls only, and ends by _exit.
    let child = unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(libc::SIGCHLD), 0, 0, 0, 0) };
    let child = check(libc::c_int::try_from(child).expect("a process id or -1"))?;
    if child == 0 {
        drop(seen);
        let entered = entry.enter();
        // Best effort: a parent that is gone has closed both pipes.
        let _ = made.write(&[0]).and_then(|_| is_seen.read(&mut [0]));
        exit(entered.err().map_or(0, |error| error.raw_os_error().unwrap_or(libc::EINVAL)))
    }
    drop((made, is_seen));
    let namespace = is_made.read(&mut [0]).and_then(|_| File::open(format!("/proc/{child}/ns/user")));
    drop(seen);
    wait_for(child)?;
    namespace
}

/// Whether this user may make user namespaces, tried by making one; else why not.
pub fn user_namespaces_usable() -> std::result::Result<(), String> {
    let own = IdMap::sole(unistd::geteuid().as_raw(), unistd::getegid().as_raw());
    user_namespace(own).map(drop).map_err(|error| format!("a user namespace cannot be made: {error}"))
}

const _: () = assert!(size_of::<libc::pid_t>() == size_of::<libc::c_int>(), "clone returns a pid as an int");

#[cfg(test)]
mod tests {
    use super::*;

    fn text(existing: &[(u32, u32)], here: u32, there: u32) -> String {
        String::from_utf8(lines(&swapped(existing, here, there))).unwrap()
    }

    #[test]
    fn a_swap_maps_every_id_once() {
        let all = [(0, u32::MAX)];
        assert_eq!(text(&all, 0, 1000), "1000 0 1\n0 1000 1\n1 1 999\n1001 1001 4294966294\n");
        assert_eq!(text(&all, 0, 1), "1 0 1\n0 1 1\n2 2 4294967293\n");
        assert_eq!(text(&all, 0, 0), "0 0 1\n1 1 4294967294\n");
    }

    #[test]
    fn a_swap_names_only_ids_that_exist_here() {
        assert_eq!(text(&[(0, 1)], 0, 1000), "1000 0 1\n");
        assert_eq!(text(&[(0, 500), (2000, 5)], 0, 1000), "1000 0 1\n1 1 499\n2000 2000 5\n");
    }

    #[test]
    fn a_line_of_the_kernel_is_parsed() {
        assert_eq!(parse_range("         0          0 4294967295"), Some((0, u32::MAX)));
        assert_eq!(parse_range("0 0"), None);
    }
}
