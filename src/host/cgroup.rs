//! Where this process may make a control group for its children, and which controllers that group has.
//!
//! In the unified hierarchy (cgroups(7), version 2) it is the nearest group above this process that delegates controllers and that
//! this user may write to: only there a process can be moved to another group. In the old hierarchies it is this process's group.
//! After it: the plan's facts, and `doctor`. It must not make a group.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, access};
use serde::Serialize;

/// The groups that can limit a build, for memory and processors each: `None` where no group can.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cgroups {
    /// Memory, and with it swap.
    pub memory: Option<Parent>,
    /// Processor time.
    pub cpu: Option<Parent>,
}

/// The group below which one is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parent {
    /// Its directory.
    pub path: PathBuf,
    /// The version, which decides the names of its files.
    pub version: Version,
}

/// Of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    /// A hierarchy for each controller.
    V1,
    /// One for all.
    V2,
}

/// How an ordinary user gets such a group.
pub const WAY_OUT: &str =
    "Run kiln as root, or with a group of its own: systemd-run --user --scope -p Delegate=yes kiln build …";

impl Cgroups {
    /// Finds them.
    pub fn find() -> Self {
        Self::below(Path::new("/"))
    }

    /// Finds them below `root`.
    fn below(root: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let (groups, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
        let hierarchies: Vec<Hierarchy> =
            mounts.lines().filter_map(|line| Hierarchy::of(line, &groups, root)).collect();
        let unified = hierarchies.iter().find(|hierarchy| hierarchy.version == Version::V2);
        let delegating = unified.map(Hierarchy::delegating).unwrap_or_default();
        let parent = |name: &str| {
            delegating.iter().find(|(_, controllers)| controllers.iter().any(|own| own == name)).map_or_else(
                || hierarchies.iter().find_map(|hierarchy| hierarchy.version_1(name)),
                |(path, _)| Some(Parent { path: path.clone(), version: Version::V2 }),
            )
        };
        Self { memory: parent("memory"), cpu: parent("cpu") }
    }
}

/// A mounted hierarchy, and this process's group in it.
struct Hierarchy {
    version: Version,
    controllers: Vec<String>,
    mount: PathBuf,
    group: PathBuf,
}

impl Hierarchy {
    /// From a line of proc_pid_mountinfo(5) and the lines of `/proc/self/cgroup`.
    fn of(line: &str, groups: &str, root: &Path) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (shown, mount) = (mount.next()?, mount.next()?);
        let mut filesystem = filesystem.split(' ');
        let version = match filesystem.next()? {
            "cgroup2" => Version::V2,
            "cgroup" => Version::V1,
            _ => return None,
        };
        let options = filesystem.nth(1)?;
        let path = groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let ours = match version {
                Version::V2 => controllers.is_empty(),
                Version::V1 => {
                    !controllers.is_empty()
                        && controllers.split(',').all(|name| options.split(',').any(|own| own == name))
                }
            };
            ours.then_some(path)
        })?;
        // The mount may show a part of the hierarchy only.
        let path = Path::new(path).strip_prefix(shown).ok()?;
        let mount = root.join(mount.trim_start_matches('/'));
        let controllers = options.split(',').map(str::to_owned).collect();
        let group = if path.as_os_str().is_empty() { mount.clone() } else { mount.join(path) };
        Some(Self { version, controllers, group, mount })
    }

    /// The writable groups from this process's own one upwards, each with the controllers that it delegates.
    fn delegating(&self) -> Vec<(PathBuf, Vec<String>)> {
        let above = self.group.ancestors().take_while(|group| group.starts_with(&self.mount));
        // A user that may not move a process out of a group may not move it out of one above, either.
        let ours = above.take_while(|group| may_write(group) && may_write(&group.join("cgroup.procs")));
        let passed = |group: &Path| {
            let text = fs::read_to_string(group.join("cgroup.subtree_control")).unwrap_or_default();
            text.split_ascii_whitespace().map(str::to_owned).collect()
        };
        ours.map(|group| (group.to_owned(), passed(group))).collect()
    }

    /// This process's group in an old hierarchy.
    fn version_1(&self, controller: &str) -> Option<Parent> {
        let ours = self.version == Version::V1 && self.controllers.iter().any(|own| own == controller);
        let path = &self.group;
        (ours && may_write(path) && may_write(&path.join("cgroup.procs")))
            .then(|| Parent { path: path.clone(), version: Version::V1 })
    }
}

fn may_write(path: &Path) -> bool {
    access(path, AccessFlags::W_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::machine;

    fn found(root: &Path) -> (Option<String>, Option<String>) {
        let Cgroups { memory, cpu } = Cgroups::below(root);
        let text = |parent: Option<Parent>| {
            let Parent { path, version } = parent?;
            Some(format!("{version:?} {}", path.strip_prefix(root).unwrap().display()))
        };
        (text(memory), text(cpu))
    }

    const V2: (&str, &str) = (
        "proc/self/mountinfo",
        "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
    );

    #[test]
    fn the_nearest_group_that_delegates_a_controller_is_taken() {
        let root = machine(&[
            V2,
            ("proc/self/cgroup", "0::/app.slice/run.scope\n"),
            ("sys/fs/cgroup/app.slice/run.scope/cgroup.procs", ""),
            ("sys/fs/cgroup/app.slice/run.scope/cgroup.subtree_control", "\n"),
            ("sys/fs/cgroup/app.slice/cgroup.procs", ""),
            ("sys/fs/cgroup/app.slice/cgroup.subtree_control", "memory pids\n"),
            ("sys/fs/cgroup/cgroup.procs", ""),
            ("sys/fs/cgroup/cgroup.subtree_control", "cpu memory pids\n"),
        ]);
        let expected = (Some("V2 sys/fs/cgroup/app.slice".into()), Some("V2 sys/fs/cgroup".into()));
        assert_eq!(found(root.path()), expected);
    }

    #[test]
    fn no_group_above_a_read_only_one_is_taken() {
        let root = machine(&[
            V2,
            ("proc/self/cgroup", "0::/session.scope\n"),
            ("sys/fs/cgroup/session.scope/cgroup.subtree_control", "\n"),
            ("sys/fs/cgroup/cgroup.procs", ""),
            ("sys/fs/cgroup/cgroup.subtree_control", "cpu memory\n"),
        ]);
        assert_eq!(found(root.path()), (None, None));
    }

    #[test]
    fn in_old_hierarchies_the_own_group_is_taken() {
        let root = machine(&[
            (
                "proc/self/mountinfo",
                "31 20 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                 32 20 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                 33 20 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
            ),
            ("proc/self/cgroup", "4:memory:/a\n2:cpu,cpuacct:/\n0::/\n"),
            ("sys/fs/cgroup/memory/a/cgroup.procs", ""),
            ("sys/fs/cgroup/cpu,cpuacct/cgroup.procs", ""),
            ("sys/fs/cgroup/unified/cgroup.procs", ""),
        ]);
        let expected =
            (Some("V1 sys/fs/cgroup/memory/a".into()), Some("V1 sys/fs/cgroup/cpu,cpuacct".into()));
        assert_eq!(found(root.path()), expected);
    }
}
