//! Resources that a failed step may have exhausted, as the kernel and the file systems report.

use serde::{Deserialize, Serialize};

/// The state when a step had failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exhausted {
    /// The events while it ran; `None` where the kernel does not count them.
    pub memory: Option<MemoryEvents>,
    /// The directories of [`super::GuestConfig::written`] whose file systems are full.
    pub full: Vec<FullDirectory>,
}

/// A directory whose file system is full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullDirectory {
    /// As [`super::GuestConfig::written`] names it.
    pub path: String,
    /// The resource that it lacks.
    pub lacks: Room,
}

/// A resource of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Room {
    /// Space for data.
    Space,
    /// Inodes for new files.
    Inodes,
}

/// Where the kernel counts memory events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemoryCounter {
    /// For the whole machine.
    Machine,
    /// For the control group of the agent, as its own root of `/sys/fs/cgroup` shows it.
    ControlGroup,
}

/// Memory events of the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEvents {
    /// How many processes it killed.
    pub oom_kills: u64,
    /// How often the limit of a control group was hit; `None` where that is not known, and for a whole machine.
    pub limit_hits: Option<u64>,
}

/// The files of a control group with these counts: that of version 2, then those of version 1.
pub const GROUP_FILES: [&str; 6] = [EVENTS, OOM_CONTROL, FAILCNTS[0], FAILCNTS[1], PEAK, LIMIT];
const EVENTS: &str = "memory.events";
const OOM_CONTROL: &str = "memory.oom_control";
const FAILCNTS: [&str; 2] = ["memory.failcnt", "memory.memsw.failcnt"];
const PEAK: &str = "memory.max_usage_in_bytes";
const LIMIT: &str = "memory.limit_in_bytes";

/// How close to its limit a group comes when it hits it: the kernel charges many pages at once.
const CLOSE_BYTES: u64 = 2 << 20;

impl MemoryEvents {
    /// From `/proc/vmstat`; `None` where the kernel does not count.
    pub fn of_machine(vmstat: &str) -> Option<Self> {
        Some(Self { oom_kills: field(vmstat, "oom_kill")?, limit_hits: None })
    }

    /// From the files of a control group, each read by its name; `None` where the kernel does not count.
    pub fn of_group(read: impl Fn(&str) -> Option<String>) -> Option<Self> {
        if let Some(events) = read(EVENTS) {
            return Some(Self { oom_kills: field(&events, "oom_kill")?, limit_hits: field(&events, "oom") });
        }
        let oom_kills = field(&read(OOM_CONTROL)?, "oom_kill")?;
        let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
        let failures = FAILCNTS.iter().filter_map(|name| number(name)).fold(0, u64::saturating_add);
        let is_close = number(PEAK)?.saturating_add(CLOSE_BYTES) >= number(LIMIT)?;
        // Some kernels kill processes at the limit and count no failure.
        let limit_hits = (failures > 0 || !is_close).then_some(failures);
        Some(Self { oom_kills, limit_hits })
    }

    /// The events since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        let hits = self.limit_hits.zip(before.limit_hits);
        Self {
            oom_kills: self.oom_kills.saturating_sub(before.oom_kills),
            limit_hits: hits.map(|(now, then)| now.saturating_sub(then)),
        }
    }
}

/// The number on the line of this name.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_counts_in_vmstat() {
        let vmstat = "nr_free_pages 5\noom_kill 2\nballoon_inflate 0\n";
        assert_eq!(MemoryEvents::of_machine(vmstat), Some(MemoryEvents { oom_kills: 2, limit_hits: None }));
        // Kernels before 4.13, and malformed files.
        for text in ["nr_free_pages 5\n", "oom_kill many\n", "oom_kills 2\n", ""] {
            assert_eq!(MemoryEvents::of_machine(text), None, "{text}");
        }
    }

    #[test]
    fn each_version_of_control_groups_has_its_own_files() {
        let events = |oom_kills, limit_hits| Some(MemoryEvents { oom_kills, limit_hits });
        let old = "oom_kill_disable 0\nunder_oom 1\noom_kill 4\n";
        let (limit, met, far) = ((LIMIT, "104857600\n"), (PEAK, "104857600\n"), (PEAK, "1048576\n"));
        for (files, expected) in [
            (vec![(EVENTS, "low 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n")], events(2, Some(3))),
            (vec![(EVENTS, "oom 0\noom_kill 2\n")], events(2, Some(0))),
            (
                vec![(OOM_CONTROL, old), (FAILCNTS[0], "5\n"), (FAILCNTS[1], "6\n"), met, limit],
                events(4, Some(11)),
            ),
            (vec![(OOM_CONTROL, old), (FAILCNTS[0], "0\n"), met, limit], events(4, None)),
            (vec![(OOM_CONTROL, old), (FAILCNTS[0], "0\n"), far, limit], events(4, Some(0))),
            (vec![(OOM_CONTROL, "oom_kill_disable 0\nunder_oom 0\n"), met, limit], None),
            (vec![], None),
        ] {
            let read = |name: &str| {
                let file = files.iter().find(|(known, _)| *known == name);
                file.map(|(_, text)| (*text).to_owned())
            };
            assert_eq!(MemoryEvents::of_group(read), expected, "{files:?}");
        }
    }

    #[test]
    fn counts_since_are_never_negative() {
        let before = MemoryEvents { oom_kills: 2, limit_hits: Some(9) };
        let after = MemoryEvents { oom_kills: 3, limit_hits: Some(4) };
        assert_eq!(after.since(before), MemoryEvents { oom_kills: 1, limit_hits: Some(0) });
    }
}
