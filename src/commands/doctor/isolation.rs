//! The isolation of each backend on this host and for this user, as a help to choose one: the resources that a build has for
//! itself, and those that it shares with the host.
//!
//! Only the examination of Bubblewrap starts a process: a sandbox.

use anyhow::Result;

use super::{Examination, Finding, Isolation, State};
use crate::{
    backend::{
        bubblewrap::probe::{self as bubblewrap, Bubblewrap},
        docker::probe::Docker,
    },
    host::cgroup::{Cgroups, WAY_OUT},
    plan::Ids,
    process,
};

impl Isolation {
    fn new(own: &[&str], shared: &[&str]) -> Self {
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self { own: list(own), shared: list(shared) }
    }

    fn finding(self, name: &'static str) -> Finding {
        let Self { own, shared } = &self;
        let detail =
            format!("a build's own: {}; shared with the host: {}", own.join(", "), shared.join(", "));
        Finding { isolation: Some(self), ..Finding::ok(name, detail) }
    }
}

/// The directories of the host that every backend gives to a build.
const GIVEN: &str = "source (read-only) and cache (as --cache-mode says)";

/// The isolation of a microVM.
pub(super) fn qemu(with_kvm: bool) -> Finding {
    let own = [
        "kernel",
        "processes",
        "users",
        "devices",
        "memory and processors (limited)",
        "network (a packet filter of kiln's keeps it from the host's loopback)",
        "a seccomp filter around QEMU",
    ];
    let mut isolation = Isolation::new(&own, &[GIVEN]);
    if !with_kvm {
        let weak =
            "under TCG what holds a guest is QEMU's translator, which its developers do not call a boundary";
        isolation.shared.push(weak.into());
    }
    isolation.finding("isolation of qemu")
}

/// The isolation of a container.
pub(super) fn docker(docker: &Docker) -> Finding {
    let own = [
        "mounts",
        "processes",
        "host name",
        "devices",
        "memory and processors (limited)",
        "network (docker's bridge)",
        "docker's capabilities",
    ];
    let mut isolation = Isolation::new(&own, &["kernel", "root inside is root of this machine", GIVEN]);
    isolation.own.extend(docker.security.iter().cloned());
    isolation.finding("isolation of docker")
}

/// The isolation of a sandbox, found by starting one.
pub(super) async fn bubblewrap(Examination { env, host, spawner, .. }: &Examination<'_>) -> Option<Finding> {
    // Another finding says that it is not installed.
    crate::host::find_program(env, "bwrap")?;
    let found = bubblewrap::find(env, spawner, host, &[]).await;
    Some(of_sandbox(&found, &Cgroups::find()))
}

fn of_sandbox(found: &Result<Bubblewrap>, cgroups: &Cgroups) -> Finding {
    let name = "isolation of bubblewrap";
    let Bubblewrap { ids, .. } = match found {
        Ok(found) => found,
        Err(error) => return Finding::of_error(name, State::Warning, error),
    };
    let own = [
        "mounts",
        "processes",
        "host name",
        "devices",
        "session keyring",
        "docker's capabilities in a user namespace, no set-id programs",
        "a seccomp filter (docker's default profile)",
    ];
    let mut isolation =
        Isolation::new(&own, &["kernel", "network, its loopback included (--network off has none)", GIVEN]);
    let sockets = "abstract sockets";
    if process::landlock_version() < process::LANDLOCK_WITH_SCOPES {
        isolation.shared.push(format!("{sockets} (Linux 6.12 with Landlock could keep them apart)"));
    } else {
        isolation.own.push(sockets.into());
    }
    match ids {
        Ids::Own => isolation.own.push("users (ids that no user of this machine has)".into()),
        Ids::Root => isolation.shared.push("users, without their rights over this machine".into()),
        Ids::Range => isolation.own.push("users (a range of /etc/subuid)".into()),
        Ids::SingleUid => {
            isolation
                .own
                .push("users (one: without a range in /etc/subuid every step is root inside)".into());
        }
    }
    let limited = [(&cgroups.memory, "memory"), (&cgroups.cpu, "processors")];
    for (parent, what) in limited {
        match parent {
            Some(_) => isolation.own.push(format!("{what} (limited)")),
            None => isolation.shared.push(format!("{what} (no limit)")),
        }
    }
    let unlimited = limited.iter().any(|(parent, _)| parent.is_none());
    let mend = unlimited.then(|| WAY_OUT.to_owned());
    Finding { mend, ..isolation.finding(name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::cgroup::{Parent, Version};

    fn sandbox(ids: Ids, cgroups: &Cgroups) -> Finding {
        let path = "/usr/bin/bwrap".into();
        of_sandbox(&Ok(Bubblewrap { path, ids, mounts_images: false, why_not_own: None }), cgroups)
    }

    #[test]
    fn limited_memory_is_a_builds_own_and_unlimited_processors_are_shared() {
        let memory = Some(Parent { path: "/g".into(), version: Version::V2 });
        let Finding { isolation, mend, .. } = sandbox(Ids::Range, &Cgroups { memory, cpu: None });
        let Isolation { own, shared } = isolation.unwrap();
        assert!(
            own.contains(&"memory (limited)".into())
                && own.contains(&"users (a range of /etc/subuid)".into())
        );
        assert_eq!(shared.last().map(String::as_str), Some("processors (no limit)"));
        assert!(mend.is_some_and(|mend| mend.contains("systemd-run")));
    }

    #[test]
    fn the_finding_names_the_ids_that_a_sandbox_of_root_has() {
        let parent = Some(Parent { path: "/g".into(), version: Version::V2 });
        for (ids, users, is_own) in [
            (Ids::Own, "users (ids that no user of this machine has)", true),
            (Ids::Root, "users, without their rights over this machine", false),
        ] {
            let cgroups = Cgroups { memory: parent.clone(), cpu: parent.clone() };
            let Finding { isolation, mend, detail, .. } = sandbox(ids, &cgroups);
            let Isolation { own, shared } = isolation.unwrap();
            assert_eq!(mend, None);
            assert!(if is_own { &own } else { &shared }.contains(&users.into()), "{detail}");
            for word in ["session keyring", "a seccomp filter (docker's default profile)"] {
                assert!(own.contains(&word.into()), "{detail}");
            }
        }
    }

    #[test]
    fn a_sandbox_that_cannot_be_made_isolates_nothing() {
        let failure = crate::exit::Failure::host("no user namespace", "sysctl");
        let finding = of_sandbox(&Err(failure.into()), &Cgroups::default());
        assert_eq!((finding.state, finding.isolation), (State::Warning, None));
    }

    #[test]
    fn without_kvm_a_microvm_is_told_to_be_weaker() {
        let shared = |with_kvm| qemu(with_kvm).isolation.unwrap().shared.len();
        assert_eq!((shared(true), shared(false)), (1, 2));
    }
}
