//! What `kiln bench io` measures: the rows of its table, and the unit of work that each belongs to. Pure.

use std::time::Duration;

use anyhow::Result;

use super::fio::{self, Job, Pattern};
use crate::{
    bench::{Scenario, Unit},
    exit::Failure,
};

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// `--quick`.
    Quick,
    /// Everything.
    Full,
}

impl Scale {
    /// Its name for the scripts.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }

    /// The files of the metadata scenarios.
    pub(crate) fn files(self) -> u32 {
        match self {
            Self::Quick => 300,
            Self::Full => 10_000,
        }
    }
}

/// The scenarios of `--quick`.
const QUICK: [&str; 18] = [
    "psync-read-4k-1",
    "psync-read-1m-1",
    "psync-write-4k-1",
    "psync-write-1m-1",
    "psync-randread-4k-1",
    "psync-randread-4k-4",
    "psync-randread-4k-16",
    "psync-randwrite-4k-1",
    "psync-randwrite-4k-4",
    "psync-randwrite-4k-16",
    "mmap-randread-4k-1",
    "libaio-randread-4k-1",
    "create",
    "stat",
    "readdir",
    "rename",
    "unlink",
    "untar",
];

/// A row, and where its value comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct IoScenario {
    /// The row.
    pub(crate) row: Scenario,
    /// The work.
    pub(super) work: Work,
}

/// Work between two markers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Work {
    /// A section of a fio job file.
    Fio(Job),
    /// A pass over many files, in the order of [`FILES`].
    Files,
    /// A command in a source tree, in the order of [`TREE`].
    Tree,
    /// A package manager, of [`PACKAGES`].
    Package,
}

/// The passes of `files.pl`.
const FILES: [&str; 5] = ["create", "stat", "readdir", "rename", "unlink"];
/// The one of [`TREE`] that needs the index of git.
pub(super) const STATUS: &str = "git-status";
/// The one of [`TREE`] that takes the most processor time.
pub(super) const COMPILE: &str = "compile";
/// The commands of `drive.sh` in a tree.
const TREE: [(&str, &str); 3] = [
    ("untar", "unpack a source tree with its git repository"),
    (STATUS, "git status in this tree"),
    (COMPILE, "compile 4 C files of this tree"),
];

/// The package managers of `packages.sh`.
const PACKAGES: [(&str, &str); 4] = [
    ("npm-ci", "npm ci --offline, from its cache"),
    ("pip-install", "pip install, from wheels"),
    ("cargo-build", "cargo build --offline, from its registry"),
    ("go-build", "go build, from its module and build caches"),
];

/// The scenarios of a scale, in the order of the table.
///
/// # Errors
/// When a job file is not as it should be, which is a defect.
pub(crate) fn scenarios(scale: Scale) -> Result<Vec<IoScenario>> {
    let jobs = fio::jobs()?.into_iter().map(of_job);
    let files = FILES.map(|id| {
        let title = format!("{id}, {} files, 1 process", scale.files());
        IoScenario { row: row(id, title, "Metadata", Unit::OperationsPerSecond), work: Work::Files }
    });
    let tree = TREE.map(|(id, title)| IoScenario {
        row: row(id, title.into(), "Trees", Unit::Seconds),
        work: Work::Tree,
    });
    let packages = PACKAGES.map(|(id, title)| IoScenario {
        row: row(id, title.into(), "Package managers", Unit::Seconds),
        work: Work::Package,
    });
    let all = jobs.chain(files).chain(tree).chain(packages);
    Ok(all.filter(|one| scale == Scale::Full || QUICK.contains(&one.row.id.as_str())).collect())
}

/// Those that `list` names: parts of ids or groups with commas between them, without regard to case. A whole id is that one alone.
///
/// # Errors
/// A usage failure for a part that no scenario has.
pub(crate) fn matching(all: Vec<IoScenario>, list: &str) -> Result<Vec<IoScenario>, Failure> {
    let list = list.to_lowercase();
    let chosen_by = |part: &str, one: &IoScenario| match all.iter().any(|other| other.row.id == part) {
        true => one.row.id == part,
        false => one.row.id.contains(part) || one.row.group.to_lowercase().contains(part),
    };
    let parts: Vec<&str> = list.split(',').map(str::trim).collect();
    if let Some(unknown) = parts.iter().find(|part| !all.iter().any(|one| chosen_by(part, one))) {
        let ids: Vec<&str> = all.iter().map(|one| one.row.id.as_str()).collect();
        let what = format!("--scenarios: no scenario has {unknown:?} in its name or group");
        return Err(Failure::usage(what, format!("Give a part of one of these names: {}.", ids.join(", "))));
    }
    let chosen = |one: &&IoScenario| parts.iter().any(|part| chosen_by(part, one));
    Ok(all.iter().filter(chosen).cloned().collect())
}

fn row(id: &str, title: String, group: &str, unit: Unit) -> Scenario {
    Scenario { id: id.into(), title, group: group.into(), unit }
}

fn of_job(job: Job) -> IoScenario {
    let (group, unit) = match (job.pattern, job.block_kib) {
        (Pattern::Read, _) => ("Sequential read", Unit::BytesPerSecond),
        (Pattern::Write, _) => ("Sequential write", Unit::BytesPerSecond),
        (Pattern::RandomRead, 4) => ("Random read, 4 KiB", Unit::OperationsPerSecond),
        (Pattern::RandomWrite, 4) => ("Random write, 4 KiB", Unit::OperationsPerSecond),
        (Pattern::RandomRead, _) => ("Random read, 1 MiB", Unit::BytesPerSecond),
        (Pattern::RandomWrite, _) => ("Random write, 1 MiB", Unit::BytesPerSecond),
    };
    let verb = match job.pattern {
        Pattern::Read | Pattern::RandomRead => "read",
        Pattern::Write | Pattern::RandomWrite => "write",
    };
    let block = if job.block_kib == 4 { "4 KiB" } else { "1 MiB" };
    let jobs = if job.jobs == 1 { "1 job".to_owned() } else { format!("{} jobs", job.jobs) };
    let title = format!("{verb} {block}, {}, {jobs}", job.engine);
    IoScenario { row: row(job.name, title, group, unit), work: Work::Fio(job) }
}

/// The lines of `units`: what the scenarios belong to. A tree goes as far as they need it.
pub(super) fn units(scenarios: &[IoScenario], scale: Scale) -> Vec<String> {
    let has = |wanted: fn(&Work) -> bool| scenarios.iter().any(|one| wanted(&one.work));
    let tree = TREE.iter().rfind(|(id, _)| scenarios.iter().any(|one| one.row.id == *id));
    let packages = scenarios.iter().filter(|one| one.work == Work::Package);
    [
        (has(|work| matches!(work, Work::Fio(_))), "fio\n".to_owned()),
        (has(|work| *work == Work::Files), format!("files {}\n", scale.files())),
    ]
    .into_iter()
    .filter_map(|(is_needed, line)| is_needed.then_some(line))
    .chain(tree.map(|(last, _)| format!("tree {last}\n")))
    .chain(packages.map(|one| format!("package {}\n", one.row.id)))
    .collect()
}

impl IoScenario {
    /// The section of fio, if it is one.
    pub(super) fn job(&self) -> Option<&Job> {
        match &self.work {
            Work::Fio(job) => Some(job),
            Work::Files | Work::Tree | Work::Package => None,
        }
    }

    /// The value for a time, in the unit of the row.
    pub(super) fn value(&self, elapsed: Duration, scale: Scale) -> f64 {
        let seconds = elapsed.as_secs_f64();
        match (&self.work, self.row.unit) {
            (_, Unit::Seconds) => seconds,
            (Work::Fio(job), Unit::BytesPerSecond) => (job.total_kib << 10) as f64 / seconds,
            (Work::Fio(job), Unit::OperationsPerSecond) => (job.total_kib / job.block_kib) as f64 / seconds,
            (Work::Files | Work::Tree | Work::Package, Unit::BytesPerSecond | Unit::OperationsPerSecond) => {
                f64::from(scale.files()) / seconds
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn ids(scale: Scale) -> Vec<String> {
        scenarios(scale).expect("they can be read").into_iter().map(|one| one.row.id).collect()
    }

    #[test]
    fn the_quick_ones_are_among_all() {
        let (quick, full) = (ids(Scale::Quick), ids(Scale::Full));
        assert_eq!(quick.iter().map(String::as_str).collect::<BTreeSet<_>>(), QUICK.into_iter().collect());
        assert_eq!((quick.len(), full.len()), (QUICK.len(), 52 + 5 + 3 + 4));
        assert_eq!(full.iter().collect::<BTreeSet<_>>().len(), full.len(), "each id occurs once");
    }

    #[test]
    fn a_group_has_one_unit() {
        let mut units = BTreeMap::new();
        for IoScenario { row, .. } in scenarios(Scale::Full).expect("they can be read") {
            assert_eq!(*units.entry(row.group.clone()).or_insert(row.unit), row.unit, "{}", row.group);
        }
        assert_eq!(units.len(), 9);
    }

    #[test]
    fn values_are_rates_of_the_work() {
        let all = scenarios(Scale::Quick).expect("they can be read");
        let value = |id: &str| {
            let one = all.iter().find(|one| one.row.id == id).expect("it is a quick one");
            one.value(Duration::from_millis(500), Scale::Quick)
        };
        assert_eq!(value("psync-read-4k-1"), 16.0 * 1024.0 * 1024.0);
        assert_eq!(value("psync-randread-4k-16"), 4096.0);
        assert_eq!(value("create"), 600.0);
        assert_eq!(value("untar"), 0.5);
    }

    #[test]
    fn a_guest_does_only_what_is_measured() {
        let of = |list| {
            let all = scenarios(Scale::Full).expect("they can be read");
            units(&matching(all, list).expect("they are there"), Scale::Full)
        };
        assert_eq!(of("psync-read-4k-1,stat"), ["fio\n", "files 10000\n"]);
        assert_eq!(of("untar"), ["tree untar\n"]);
        assert_eq!(of("package").len(), 4);
        assert_eq!(of("go-build"), ["package go-build\n"]);
        assert_eq!(of("trees,rename"), ["files 10000\n", "tree compile\n"]);
    }

    #[test]
    fn a_pattern_chooses_by_name_or_group_and_must_choose_something() {
        let of = |pattern| {
            let all = scenarios(Scale::Quick).expect("they can be read");
            matching(all, pattern).map(|found| found.into_iter().map(|one| one.row.id).collect::<Vec<_>>())
        };
        assert_eq!(of("metadata").expect("a group"), FILES);
        assert_eq!(of("randread-4k-1").expect("a part").len(), 4);
        assert_eq!(of("stat, MMAP").expect("two parts"), ["mmap-randread-4k-1", "stat"]);
        let error = of("stat,nothing").expect_err("there is no such one");
        assert!(error.way_out.contains("psync-read-4k-1, "), "{error:?}");
    }
}
