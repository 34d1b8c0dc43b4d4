//! The limits of a sandbox: control groups that its runner makes, and the content of their files.

use crate::{
    host::cgroup::{Cgroups, Parent, Version, WAY_OUT},
    plan::{Cgroup, Resources},
};

/// The period of the limit on processor time, in microseconds: the kernel's default.
const PERIOD_US: u64 = 100_000;

/// The groups that limit a sandbox, as far as this user may make them.
pub(super) fn groups(cgroups: &Cgroups, resources: Resources) -> Vec<Cgroup> {
    let Cgroups { memory, cpu } = cgroups;
    let mut groups: Vec<Cgroup> = Vec::new();
    let files_of_parents = [
        memory.as_ref().map(|parent| (parent, memory_files(parent, resources.memory_mib << 20))),
        cpu.as_ref().map(|parent| (parent, cpu_files(parent, u64::from(resources.cpus) * PERIOD_US))),
    ];
    for (Parent { path, version: _ }, files) in files_of_parents.into_iter().flatten() {
        match groups.iter_mut().find(|group| group.parent == *path) {
            Some(group) => group.files.extend(files),
            None => groups.push(Cgroup { parent: path.clone(), files }),
        }
    }
    groups
}

/// The files that limit memory. There is no swap, as in a microVM.
fn memory_files(Parent { path: _, version }: &Parent, bytes: u64) -> Vec<(&'static str, String)> {
    match version {
        Version::V1 => vec![
            ("memory.limit_in_bytes", bytes.to_string()),
            ("memory.memsw.limit_in_bytes", bytes.to_string()),
        ],
        Version::V2 => vec![("memory.max", bytes.to_string()), ("memory.swap.max", "0".into())],
    }
}

fn cpu_files(Parent { path: _, version }: &Parent, quota_us: u64) -> Vec<(&'static str, String)> {
    match version {
        Version::V1 => {
            vec![("cpu.cfs_period_us", PERIOD_US.to_string()), ("cpu.cfs_quota_us", quota_us.to_string())]
        }
        Version::V2 => vec![("cpu.max", format!("{quota_us} {PERIOD_US}"))],
    }
}

/// The note on limits that cannot be set.
pub(super) fn note(cgroups: &Cgroups) -> Option<String> {
    let unlimited = match (&cgroups.memory, &cgroups.cpu) {
        (Some(_), Some(_)) => return None,
        (None, None) => "memory and processors are",
        (None, Some(_)) => "memory is",
        (Some(_), None) => "processors are",
    };
    Some(format!(
        "bubblewrap: {unlimited} not limited: this user may make no control group for it. {WAY_OUT}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::LimitSource;

    const RESOURCES: Resources =
        Resources { cpus: 2, memory_mib: 512, memory_from: LimitSource::CommandLine };

    fn parent(path: &str, version: Version) -> Option<Parent> {
        Some(Parent { path: path.into(), version })
    }

    fn lines(cgroups: &Cgroups) -> Vec<String> {
        let groups = groups(cgroups, RESOURCES);
        groups.iter().map(|Cgroup { parent, files }| format!("{} {files:?}", parent.display())).collect()
    }

    #[test]
    fn one_hierarchy_has_one_group() {
        let both = Cgroups { memory: parent("/g", Version::V2), cpu: parent("/g", Version::V2) };
        assert_eq!(
            lines(&both),
            [r#"/g [("memory.max", "536870912"), ("memory.swap.max", "0"), ("cpu.max", "200000 100000")]"#]
        );
        assert_eq!(note(&both), None);
    }

    #[test]
    fn hierarchies_of_version_1_have_a_group_each() {
        let each = Cgroups { memory: parent("/m", Version::V1), cpu: parent("/c", Version::V1) };
        assert_eq!(
            lines(&each),
            [
                r#"/m [("memory.limit_in_bytes", "536870912"), ("memory.memsw.limit_in_bytes", "536870912")]"#,
                r#"/c [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "200000")]"#,
            ]
        );
    }

    #[test]
    fn a_note_names_missing_limits() {
        let memory = Cgroups { memory: parent("/g", Version::V2), cpu: None };
        assert!(note(&memory).is_some_and(|text| text.contains("processors are not limited")));
        let none = note(&Cgroups::default()).unwrap();
        assert!(
            none.contains("memory and processors are not limited") && none.contains("systemd-run"),
            "{none}"
        );
        assert!(lines(&Cgroups::default()).is_empty());
    }
}
