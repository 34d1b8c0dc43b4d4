//! Facts of this machine, probed on request and passed on as values.
//!
//! Before it: [`crate::env`] and [`crate::process`], which runs programs to read their versions. After it: the plan, which has values
//! only. It must not decide what is run.

pub mod cgroup;
pub mod tsc;

use std::{
    env::consts::ARCH,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    thread::available_parallelism,
    time::Duration,
};

use anyhow::{Context, Result};
use nix::unistd::{User, getegid, geteuid};

use crate::env::Env;

/// The machine and the user of kiln.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// As Linux and QEMU name it: `x86_64`, `aarch64`.
    pub arch: String,
    /// The uid of the user that runs kiln.
    pub uid: u32,
    /// The gid.
    pub gid: u32,
    /// The user's name, or the uid where it has none.
    pub user: String,
    /// How many CPUs this process may use, after affinity and cgroup quota.
    pub cpus: u32,
    /// How much memory, after the limits of its cgroups.
    pub memory_mib: u64,
}

impl Host {
    /// Reads the facts.
    pub fn probe() -> Self {
        let (uid, gid) = (geteuid(), getegid());
        let user = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
        let cpus = available_parallelism().map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX));
        let memory_mib = memory_mib(Path::new("/"));
        Self { arch: ARCH.into(), uid: uid.as_raw(), gid: gid.as_raw(), user, cpus, memory_mib }
    }
}

/// Changes with each boot of this host (random(4)).
///
/// # Errors
/// When it cannot be read.
pub fn boot_id() -> Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").context("read the boot id")?;
    Ok(text.trim().to_owned())
}

/// The directory of [`Home`](crate::home::Home) for remembered facts about files.
pub(crate) const MEMOS: &str = "memos";

/// Changes with the file: no program can set its change time back.
pub(crate) fn identity(path: &Path) -> Option<[i64; 5]> {
    let metadata = fs::metadata(path).ok()?;
    let (device, inode, size) = (metadata.dev(), metadata.ino(), metadata.size());
    let whole = [device, inode, size].map(|number| number.cast_signed());
    Some([whole[0], whole[1], whole[2], metadata.ctime(), metadata.ctime_nsec()])
}

/// Where a program is in `$PATH`.
pub fn find_program(env: &Env, name: &str) -> Option<PathBuf> {
    env.search_path().map(|dir| dir.join(name)).find(|path| is_executable(path))
}

pub(crate) fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// The machine's memory, or the smallest limit of this process's cgroups, below `root`.
fn memory_mib(root: &Path) -> u64 {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let total = read("proc/meminfo").lines().find_map(mem_total_kib).unwrap_or(0) * 1024;
    let cgroups = read("proc/self/cgroup");
    let limits =
        cgroups.lines().flat_map(limit_files).filter_map(|file| read(&file).trim().parse::<u64>().ok());
    limits.chain([total]).min().unwrap_or(0) >> 20
}

fn mem_total_kib(line: &str) -> Option<u64> {
    line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The files that may hold a limit, for a line of `/proc/self/cgroup`: one for the group and each above it, since all count.
fn limit_files(line: &str) -> Vec<String> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { return Vec::new() };
    let (mount, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    Path::new(path).ancestors().map(|group| format!("{mount}{}/{file}", group.display())).collect()
}

/// The command that allows user namespaces to ordinary users, for the setting below `settings` (`/proc/sys`) that forbids them; all
/// commands where no setting does.
pub fn allow_namespaces(settings: &Path) -> String {
    let forbids = |Setting { file, value, .. }: &&Setting| {
        fs::read_to_string(settings.join(file)).is_ok_and(|text| text.trim() == *value)
    };
    let command = |Setting { file, allows, whose, .. }: &Setting| {
        format!("sysctl -w {}={allows} ({whose})", file.replace('/', "."))
    };
    match SETTINGS.iter().find(forbids) {
        Some(setting) => command(setting),
        None => format!(
            "{}; in a container, start that with --security-opt seccomp=unconfined",
            SETTINGS.iter().map(command).collect::<Vec<_>>().join(", or ")
        ),
    }
}

/// A file below `/proc/sys` that may forbid user namespaces.
struct Setting {
    file: &'static str,
    /// The value that forbids them.
    value: &'static str,
    /// The value that allows them.
    allows: &'static str,
    whose: &'static str,
}

const SETTINGS: [Setting; 3] = [
    Setting {
        file: "kernel/apparmor_restrict_unprivileged_userns",
        value: "1",
        allows: "0",
        whose: "AppArmor's rule, on Ubuntu since 24.04",
    },
    Setting {
        file: "kernel/unprivileged_userns_clone",
        value: "0",
        allows: "1",
        whose: "Debian's own switch",
    },
    Setting { file: "user/max_user_namespaces", value: "0", allows: "10000", whose: "the kernel's limit" },
];

/// The limit for a program that prints its version: generous, for a cold disk or a busy machine.
pub(crate) const VERSION_LIMIT: Duration = Duration::from_secs(20);

/// The first `number.number[.number]` of a text: `QEMU emulator version 7.2.22 (Debian …)`.
pub(crate) fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    text.split_ascii_whitespace().find_map(|word| {
        let word = word.strip_prefix('v').unwrap_or(word);
        let word = word.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let mut numbers = word.split('.').map(str::parse);
        let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some((major, minor, numbers.next().and_then(Result::ok).unwrap_or(0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with these files.
    pub(super) fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn memory_is_the_smallest_limit_of_the_groups_above() {
        let meminfo = ("proc/meminfo", "MemTotal:       8388608 kB\nMemFree: 1 kB\n");
        let v2 = ("proc/self/cgroup", "0::/a/b\n");
        let max = ("sys/fs/cgroup/a/b/memory.max", "max\n");
        let four = ("sys/fs/cgroup/a/memory.max", "4294967296\n");
        let v1 = ("proc/self/cgroup", "5:cpu:/x\n4:memory:/c\n");
        let one = ("sys/fs/cgroup/memory/c/memory.limit_in_bytes", "1073741824\n");
        for (files, memory) in [
            (vec![meminfo], 8192),
            (vec![meminfo, v2, max], 8192),
            (vec![meminfo, v2, max, four], 4096),
            (vec![meminfo, v1, one], 1024),
        ] {
            assert_eq!(memory_mib(machine(&files).path()), memory);
        }
    }

    #[test]
    fn this_machine_has_something() {
        let host = Host::probe();
        assert!(host.cpus >= 1 && host.memory_mib >= 1, "{host:?}");
    }

    #[test]
    fn a_program_is_a_file_that_can_be_run() {
        let dir = machine(&[("one/tool", ""), ("two/tool", ""), ("two/other/x", "")]);
        fs::set_permissions(dir.path().join("two/tool"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{0}/one:{0}/two", dir.path().display());
        let env = [("PATH", path)].into_iter().collect();
        assert_eq!(find_program(&env, "tool"), Some(dir.path().join("two/tool")));
        assert_eq!(find_program(&env, "other"), None);
    }
}
