//! The machine and the programs that a benchmark ran on, without a name of host or user and without a path: two results with
//! different fingerprints compare two machines.

use std::{fs, os::linux::fs::MetadataExt, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::host::Host;

/// The facts, and how busy the machine was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Names and values, in the order in which they are shown. Each name occurs once.
    pub facts: Vec<(String, String)>,
    /// The load average, which differs from run to run.
    pub load_average: LoadAverage,
}

/// How many processes ran or waited for a disk, in the mean of the last minute (`/proc/loadavg`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadAverage {
    /// Before the first visit.
    pub start: f64,
    /// After the last one; that of the start until then.
    pub end: f64,
}

impl Fingerprint {
    /// Reads the facts of this machine; `facts` of the suite and of the caller follow. `directory` is on the file system that the
    /// benchmark writes to, and exists.
    ///
    /// # Errors
    /// When the file system of `directory` cannot be found out.
    pub fn of_machine(directory: &Path, facts: Vec<(String, String)>) -> Result<Self> {
        let host = Host::probe();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut all = vec![
            ("kiln".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("processor".to_owned(), processor(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())),
            ("processors".to_owned(), host.cpus.to_string()),
            ("memory".to_owned(), format!("{} MiB", host.memory_mib)),
            ("host kernel".to_owned(), format!("Linux {}", kernel.trim())),
            ("file system".to_owned(), file_system(directory)?),
        ];
        all.extend(facts);
        let now = load_average();
        Ok(Self { facts: all, load_average: LoadAverage { start: now, end: now } })
    }

    /// The benchmark has ended: reads the load average again.
    pub fn ended(&mut self) {
        self.load_average.end = load_average();
    }

    /// The facts that differ: name, value here, value there. A fact that one side lacks has an empty value.
    pub fn differences<'a>(&'a self, other: &'a Self) -> Vec<(&'a str, &'a str, &'a str)> {
        differences(&self.facts, &other.facts)
    }
}

/// The pairs of two lists that differ: name, value here, value there.
pub(super) fn differences<'a>(
    one: &'a [(String, String)],
    other: &'a [(String, String)],
) -> Vec<(&'a str, &'a str, &'a str)> {
    let value = |list: &'a [(String, String)], name: &str| {
        list.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value.as_str())
    };
    let own = one.iter().map(|(name, here)| (name.as_str(), here.as_str(), value(other, name)));
    let foreign = other.iter().filter(|(name, _)| !one.iter().any(|(own, _)| own == name));
    let foreign = foreign.map(|(name, there)| (name.as_str(), "", there.as_str()));
    own.chain(foreign).filter(|(_, here, there)| here != there).collect()
}

/// The model of the first processor of `/proc/cpuinfo`, which not every architecture names.
fn processor(cpuinfo: &str) -> String {
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or("unknown", |model| model.trim_start_matches([':', '\t', ' ']).trim()).to_owned()
}

fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

/// The type of the file system of a directory, as mount(8) names it.
fn file_system(directory: &Path) -> Result<String> {
    let device = fs::metadata(directory)
        .with_context(|| format!("look at the file system of {}", directory.display()))?
        .st_dev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the table of mounts")?;
    let real = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    Ok(type_of(&mounts, &format!("{major}:{minor}"), &real).unwrap_or_else(|| "unknown".into()))
}

/// The type of the mount in `/proc/self/mountinfo` that has this device; else of the innermost one that the path is below (btrfs and
/// overlays show files under other device numbers).
fn type_of(mountinfo: &str, device: &str, path: &Path) -> Option<String> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ');
        let (of, at) = (fields.nth(2)?, fields.nth(1)?);
        Some((of, at, after.split(' ').next()?))
    });
    let mounts: Vec<(&str, &str, &str)> = mounts.collect();
    let same = mounts.iter().rfind(|(of, _, _)| *of == device);
    let below = || mounts.iter().filter(|(_, at, _)| path.starts_with(at)).max_by_key(|(_, at, _)| at.len());
    same.or_else(below).map(|(_, _, kind)| (*kind).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_has_the_name_that_linux_gives_it() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\n"), "A CPU @ 2 GHz");
        assert_eq!(processor("processor : 0\nBogoMIPS : 50\n"), "unknown");
    }

    #[test]
    fn the_file_system_is_that_of_the_device_or_of_the_innermost_mount() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                      23 22 0:40 / /home rw,relatime shared:1 - btrfs /dev/sdb rw\n\
                      24 22 0:41 / /homework rw - tmpfs tmpfs rw\n";
        let of = |device, path: &str| type_of(mounts, device, Path::new(path));
        assert_eq!(of("8:1", "/var"), Some("ext4".into()));
        assert_eq!(of("0:41", "/homework/x"), Some("tmpfs".into()));
        assert_eq!(of("0:99", "/home/x"), Some("btrfs".into()));
        assert_eq!(type_of("", "8:1", Path::new("/")), None);
    }

    #[test]
    fn differences_are_named_on_both_sides() {
        let list = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
        };
        let one = list(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let two = list(&[("b", "5"), ("a", "1"), ("d", "4")]);
        assert_eq!(differences(&one, &two), [("b", "2", "5"), ("c", "3", ""), ("d", "", "4")]);
        assert_eq!(differences(&one, &one), []);
    }

    #[test]
    fn this_machine_has_facts_and_no_names_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let facts = vec![("QEMU".to_owned(), "7.2.22".to_owned())];
        let fingerprint = Fingerprint::of_machine(directory.path(), facts).unwrap();
        let names: Vec<&str> = fingerprint.facts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["kiln", "processor", "processors", "memory", "host kernel", "file system", "QEMU"]
        );
        assert!(fingerprint.facts.iter().all(|(_, value)| !value.is_empty() && !value.starts_with('/')));
        assert!(fingerprint.facts[5].1 != "unknown", "{fingerprint:?}");
    }
}
