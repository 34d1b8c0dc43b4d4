//! The processes of this machine as `/proc` shows them, and which of them descend from kiln's children.
//!
//! It only reads; it must not kill.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::Read,
};

use anyhow::{Context, Result};

/// Enough for a process's `stat`: 52 fields, a name of 64 bytes.
const STAT_BYTES: usize = 2048;

/// One process (proc_pid_stat(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    session: i32,
    /// In clock ticks since boot: with `pid`, it identifies a process uniquely.
    pub(super) start: u64,
    dead: bool,
}

impl Process {
    pub(super) fn read(pid: i32) -> Option<Self> {
        // One read, since fs::read takes several for a file without a size.
        let mut stat = [0; STAT_BYTES];
        let length =
            File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut stat)).ok()?;
        Self::parse(pid, &String::from_utf8_lossy(&stat[..length]))
    }

    fn parse(pid: i32, stat: &str) -> Option<Self> {
        // The name may contain parentheses and spaces; the last parenthesis closes it.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let dead = matches!(fields.next()?, "Z" | "X" | "x");
        let parent = fields.next()?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        let start = fields.nth(15)?.parse().ok()?;
        Some(Self { pid, parent, session, start, dead })
    }

    fn carries(&self, marker: &[u8]) -> bool {
        let environment = fs::read(format!("/proc/{}/environ", self.pid));
        // A process of another user cannot be read; it is found by session or descent only.
        environment
            .is_ok_and(|variables| variables.split(|&byte| byte == 0).any(|variable| variable == marker))
    }
}

/// The children of all threads of a process; none if it is gone.
pub(super) fn children(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()
        })
        .collect()
}

/// All processes at one moment.
#[derive(Debug)]
pub(super) struct ProcessTable {
    processes: Vec<Process>,
}

impl ProcessTable {
    pub(super) fn read() -> Result<Self> {
        let mut processes = Vec::new();
        for entry in fs::read_dir("/proc").context("read /proc")? {
            let name = entry.context("read /proc")?.file_name();
            let pid = name.to_str().and_then(|name| name.parse().ok());
            processes.extend(pid.and_then(Process::read).filter(|process| !process.dead));
        }
        Ok(Self { processes })
    }

    pub(super) fn has_session(&self, leader: i32) -> bool {
        self.processes.iter().any(|process| process.session == leader)
    }

    /// Processes in the sessions of `leaders`, processes with `marker` in their environment, and all their descendants, except the caller.
    pub(super) fn victims(&self, leaders: &HashSet<i32>, marker: &[u8]) -> Vec<Process> {
        let own = i32::try_from(std::process::id()).expect("process ids are below 2^22");
        // No process of this run is older than its reaper, and few others are younger.
        let born = Process::read(own).map_or(0, |own| own.start);
        let is_root = |process: &&Process| {
            leaders.contains(&process.session) || (process.start >= born && process.carries(marker))
        };
        let roots = self.processes.iter().filter(is_root).map(|process| process.pid);
        let mut pids: HashSet<i32> = roots.collect();
        loop {
            let known = pids.len();
            let children = self.processes.iter().filter(|process| pids.contains(&process.parent));
            let children: Vec<i32> = children.map(|process| process.pid).collect();
            pids.extend(children);
            if pids.len() == known {
                break;
            }
        }
        pids.remove(&own);
        self.processes.iter().filter(|process| pids.contains(&process.pid)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_is_skipped() {
        let stat = "42 (a) R 1 (b) S 7 42 40 0 -1 4194560 120 0 0 0 0 0 0 0 20 0 1 0 98765 0 0";
        let process = Process::parse(42, stat).unwrap();
        assert_eq!(process, Process { pid: 42, parent: 7, session: 40, start: 98765, dead: false });
        assert!(Process::parse(42, "42 (a) Z 7 42 40 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 5").unwrap().dead);
        assert_eq!(Process::parse(42, "42 (a) S 7"), None);
    }

    #[test]
    fn victims_are_sessions_and_all_that_descends_from_them() {
        let process = |pid, parent, session| Process { pid, parent, session, start: 0, dead: false };
        // Beyond the largest process id (2^22): no environment is found for them.
        let base = 1 << 23;
        let table = ProcessTable {
            processes: vec![
                process(base + 9, base + 8, base + 9),
                process(base + 8, base + 1, base + 8),
                process(base + 1, 1, base + 1),
                process(base + 2, 1, base + 1),
                process(base + 5, 1, base + 5),
            ],
        };
        let victims = table.victims(&HashSet::from([base + 1]), b"X=1");
        let pids: Vec<i32> = victims.iter().map(|victim| victim.pid - base).collect();
        assert_eq!(pids, [9, 8, 1, 2]);
        assert!(table.has_session(base + 5));
        assert!(!table.has_session(base + 2));
    }
}
