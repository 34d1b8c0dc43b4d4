//! The agent among the processes of its guest: it kills all descendants of steps, also after `setsid` and double forks, and
//! protects itself from them.

use std::{
    collections::{HashMap, HashSet},
    fs,
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    libc,
    sys::{
        prctl::{set_child_subreaper, set_dumpable},
        signal::{Signal, kill},
    },
    unistd::{Pid, getpid},
};

/// Makes the agent the parent of orphans where it is not PID 1.
pub(crate) fn adopt_orphans() -> Result<()> {
    set_child_subreaper(true).context("become the parent of orphans")
}

/// Denies access to the agent's memory and descriptors, of which its channel to the host is one, to processes that may not trace
/// it (`/proc/1/fd`, `/proc/1/mem`, pidfd_getfd(2)). By `PR_SET_DUMPABLE` of prctl(2) that takes CAP_SYS_PTRACE in the agent's user
/// namespace, which steps do not have; else root of a namespace could do it.
pub(crate) fn shield() -> Result<()> {
    set_dumpable(false).context("protect the agent's memory and descriptors")
}

/// Sends SIGKILL to all processes that descend from the agent; it does not wait for their end.
pub(crate) fn kill_all() -> Result<()> {
    if getpid().as_raw() == 1 {
        // All processes of the pid namespace but the caller, forks under way included.
        return match kill(Pid::from_raw(-1), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno).context("kill all processes"),
        };
    }
    // A killed process does not fork, and its children become ours: when a round finds no new process, none is left.
    let mut killed = HashSet::new();
    loop {
        let found = descendants(getpid().as_raw(), &parents()?);
        let new: Vec<libc::pid_t> = found.into_iter().filter(|pid| killed.insert(*pid)).collect();
        if new.is_empty() {
            return Ok(());
        }
        for pid in new {
            match kill(Pid::from_raw(pid), Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(errno).with_context(|| format!("kill process {pid}")),
            }
        }
    }
}

/// Every process and its parent.
fn parents() -> Result<HashMap<libc::pid_t, libc::pid_t>> {
    let mut parents = HashMap::new();
    for entry in fs::read_dir("/proc").context("list /proc")? {
        let entry = entry.context("list /proc")?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end meanwhile: then it has no file.
        if let Some(parent) = fs::read(entry.path().join("stat")).ok().and_then(|stat| parent(&stat)) {
            parents.insert(pid, parent);
        }
    }
    Ok(parents)
}

/// The parent in a `/proc/PID/stat`: the second field after the name, which stands in parentheses and may hold any byte.
fn parent(stat: &[u8]) -> Option<libc::pid_t> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = str::from_utf8(&stat[name_end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// All descendants of `ancestor`, parents before their children, so that a shell is killed before it can report the end of its
/// child.
fn descendants(ancestor: libc::pid_t, parents: &HashMap<libc::pid_t, libc::pid_t>) -> Vec<libc::pid_t> {
    // The list is not an atomic snapshot and might hold a loop; no chain is longer than the number of processes.
    let depth = |mut pid: libc::pid_t| {
        (0..parents.len()).find_map(|depth| match parents.get(&pid) {
            Some(parent) if *parent == ancestor => Some(Some(depth)),
            Some(parent) => {
                pid = *parent;
                None
            }
            None => Some(None),
        })?
    };
    let mut found: Vec<_> = parents.keys().filter_map(|pid| Some((depth(*pid)?, *pid))).collect();
    found.sort_unstable();
    found.into_iter().map(|(_, pid)| pid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_found_behind_any_name() {
        assert_eq!(parent(b"42 (a) S 7) S 9 42 42"), Some(9));
        assert_eq!(parent(b"42 (\xff) Z 1 2"), Some(1));
        assert_eq!(parent(b"42"), None);
    }

    #[test]
    fn descendants_are_found_at_any_depth_and_loops_end() {
        let parents = HashMap::from([(2, 1), (4, 2), (3, 4), (6, 3), (5, 1), (8, 9), (9, 8)]);
        assert_eq!(descendants(2, &parents), [4, 3, 6], "parents first");
    }
}
