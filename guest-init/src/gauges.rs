//! Resources that steps can exhaust, read before and after each step: memory, and the file systems that they write to.
//!
//! All files are opened before the first step, so that a later mount over them has no effect.

use std::{
    fs::{self, File, OpenOptions},
    os::{
        fd::AsFd,
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::Path,
};

use kiln_protocol::{Exhausted, FullDirectory, GROUP_FILES, GuestConfig, MemoryCounter, MemoryEvents, Room};
use nix::{
    fcntl::OFlag,
    sys::statvfs::{Statvfs, fstatvfs},
};

/// A file system with less space than this counts as full: a write that fails in the middle of a block leaves a rest.
const FULL_BYTES: u64 = 64 * 1024;

/// Where a container sees its own control group: that of version 2, and the memory group of version 1.
const GROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"];

/// The largest of the files read: `/proc/vmstat` has 5 KiB.
const MOST_BYTES: usize = 64 * 1024;

/// Open files and directories.
#[derive(Default)]
pub(crate) struct Gauges {
    memory: Option<Memory>,
    written: Vec<(String, File)>,
}

/// Open files of the kernel, read from their start each time.
enum Memory {
    Machine(File),
    Group(Vec<(&'static str, File)>),
}

impl Gauges {
    /// Opens the files and directories of the configuration. A missing one is left out: gauges only explain a failure.
    pub(crate) fn open(config: &GuestConfig) -> Self {
        let directory = |path: &String| Some((path.clone(), directory(path)?));
        Self {
            memory: config.memory.and_then(Memory::open),
            written: config.written.iter().filter_map(directory).collect(),
        }
    }

    /// The events so far.
    pub(crate) fn memory(&self) -> Option<MemoryEvents> {
        self.memory.as_ref()?.read()
    }

    /// The resources that are exhausted now, and the events since `before`.
    pub(crate) fn exhausted(&self, before: Option<MemoryEvents>) -> Exhausted {
        let memory = self.memory().zip(before).map(|(now, before)| now.since(before));
        let full = |(path, directory): &(String, File)| {
            let lacks = lacks(&fstatvfs(directory.as_fd()).ok()?)?;
            Some(FullDirectory { path: path.clone(), lacks })
        };
        Exhausted { memory, full: self.written.iter().filter_map(full).collect() }
    }
}

impl Memory {
    fn open(counter: MemoryCounter) -> Option<Self> {
        match counter {
            MemoryCounter::Machine => File::open("/proc/vmstat").ok().map(Self::Machine),
            MemoryCounter::ControlGroup => {
                GROUPS.into_iter().map(Path::new).map(Self::group).find(|group| group.read().is_some())
            }
        }
    }

    fn group(directory: &Path) -> Self {
        let open = |name: &'static str| Some((name, File::open(directory.join(name)).ok()?));
        Self::Group(GROUP_FILES.into_iter().filter_map(open).collect())
    }

    fn read(&self) -> Option<MemoryEvents> {
        match self {
            Self::Machine(vmstat) => MemoryEvents::of_machine(&text(vmstat)?),
            Self::Group(files) => MemoryEvents::of_group(|name| {
                let (_, file) = files.iter().find(|(known, _)| *known == name)?;
                text(file)
            }),
        }
    }
}

/// The whole content of a file of the kernel, which is made anew by a read from its start.
fn text(file: &File) -> Option<String> {
    let (mut bytes, mut length) = (vec![0; MOST_BYTES], 0);
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], length as u64).ok()? {
            0 => break,
            count => length += count,
        }
    }
    bytes.truncate(length);
    String::from_utf8(bytes).ok()
}

/// A directory, opened for statvfs(3) alone.
fn directory(path: &str) -> Option<File> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    fs::canonicalize(path)
        .and_then(|path| OpenOptions::new().read(true).custom_flags(flags.bits()).open(path))
        .ok()
}

fn lacks(found: &Statvfs) -> Option<Room> {
    // File systems that allocate inodes dynamically report 0.
    let no_inode = found.files() > 0 && found.files_available() == 0;
    let left = found.blocks_available().saturating_mul(found.fragment_size());
    match (left < FULL_BYTES, no_inode) {
        (true, _) => Some(Room::Space),
        (false, true) => Some(Room::Inodes),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_kernel_is_read_anew_each_time() {
        let machine = Memory::open(MemoryCounter::Machine).expect("there is /proc/vmstat");
        let first = machine.read().expect("this kernel counts");
        let then = machine.read().expect("this kernel counts").since(first);
        assert_eq!(then.limit_hits, None);
        assert!(then.oom_kills < 1000, "{then:?}");
    }

    #[test]
    fn the_files_of_a_control_group_are_read_by_their_names() {
        let group = tempfile::tempdir().expect("a directory can be made");
        let read = || Memory::group(group.path()).read();
        assert_eq!(read(), None);
        for (name, text) in [
            ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
            ("memory.failcnt", "2\n"),
            ("memory.max_usage_in_bytes", "5\n"),
            ("memory.limit_in_bytes", "5\n"),
        ] {
            fs::write(group.path().join(name), text).expect("written");
        }
        assert_eq!(read(), Some(MemoryEvents { oom_kills: 1, limit_hits: Some(2) }));
        fs::write(group.path().join("memory.events"), "oom 4\noom_kill 3\n").expect("written");
        assert_eq!(read(), Some(MemoryEvents { oom_kills: 3, limit_hits: Some(4) }));
    }

    #[test]
    fn a_file_system_with_space_is_not_full_and_a_missing_directory_is_skipped() {
        let gauges = Gauges { written: vec![("/".into(), directory("/").expect("opened"))], memory: None };
        assert_eq!(gauges.exhausted(None), Exhausted::default());
        assert!(directory("/absent").is_none());
    }
}
