//! The leftovers of a case: processes, sockets, mounts, loop devices, files.

use std::{fmt, fs, path::Path};

use crate::{
    place::Place,
    process_tree::{self, Member},
};

/// Files that a home, a scratch directory or a project may have after a run, as names of a path below the place; a
/// directory that is listed is not looked into.
const EXPECTED: [&str; 15] = [
    "home/agents",
    "home/accelerator",
    "home/identity",
    "home/leases",
    "home/logs",
    "home/run/lock",
    "home/summaries",
    "home/templates",
    "project/cache",
    "project/file.yaml",
    "project/input",
    "project/packages/x86_64/APKINDEX.tar.gz",
    "project/packages/x86_64/sample-1.10-r3.apk",
    "project/source",
    "project/out",
];

/// Everything that should not be there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Leftovers {
    processes: Vec<String>,
    sockets: Vec<String>,
    mounts: Vec<String>,
    files: Vec<String>,
}

impl Leftovers {
    /// Counts them; `known` are the processes that were there before all were to end.
    pub(crate) fn count(place: &Place, known: Vec<Member>) -> Self {
        let processes = process_tree::survivors(place, known);
        Self {
            processes: processes.into_iter().map(|m| format!("{} {}", m.pid, m.arguments)).collect(),
            sockets: lines_about(place, Path::new("/proc/net/unix")),
            mounts: [lines_about(place, Path::new("/proc/self/mountinfo")), loops(place)].concat(),
            files: files(place),
        }
    }

    /// The processes among them.
    pub(crate) fn processes(&self) -> &[String] {
        &self.processes
    }

    /// Whether there are none.
    pub(crate) fn none(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Leftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processes, sockets, mounts, files } = self;
        for (what, found) in
            [("processes", processes), ("sockets", sockets), ("mounts", mounts), ("files", files)]
        {
            write!(f, "{} {what} ", found.len())?;
            found.iter().try_for_each(|one| write!(f, "[{one}] "))?;
        }
        Ok(())
    }
}

/// The lines of a list of the kernel that name the place.
fn lines_about(place: &Place, list: &Path) -> Vec<String> {
    let root = place.root().to_string_lossy().into_owned();
    let lines = fs::read_to_string(list).unwrap();
    lines.lines().filter(|line| line.contains(&root)).map(str::to_owned).collect()
}

/// Loop devices whose file lies in the place.
fn loops(place: &Place) -> Vec<String> {
    let root = place.root().to_string_lossy().into_owned();
    let devices = fs::read_dir("/sys/block").into_iter().flatten().map(|entry| entry.unwrap().path());
    let backed = devices.filter_map(|device| fs::read_to_string(device.join("loop/backing_file")).ok());
    backed.filter(|file| file.contains(&root)).collect()
}

/// All files and sockets below the place that no run may leave; links to what is shared are no files of it.
fn files(place: &Place) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![place.root().to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(place.root()).unwrap().to_string_lossy().into_owned();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            let in_home_itself = path.parent() == Some(&place.root().join("home"));
            if EXPECTED.contains(&name.as_str()) || (kind.is_symlink() && in_home_itself) {
                continue;
            }
            // A directory of a run is itself something left; those above it are the place's own.
            if kind.is_dir() && !name.starts_with("home/run/") {
                open.push(path);
            } else {
                found.push(name);
            }
        }
    }
    found
}
