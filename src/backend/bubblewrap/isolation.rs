//! The isolation of a sandbox.

use super::probe::Bubblewrap;
use crate::{
    backend::isolation::{GIVEN, Isolation},
    host::cgroup::Cgroups,
    plan::Ids,
    process,
};

impl Bubblewrap {
    /// For this user, with the control groups in which limits can be set.
    pub fn isolation(&self, cgroups: &Cgroups) -> Isolation {
        let own = [
            "mounts",
            "processes",
            "host name",
            "devices",
            "session keyring",
            "docker's capabilities in a user namespace, no set-id programs",
            "a seccomp filter (docker's default profile)",
        ];
        let shared = ["kernel", "network, its loopback included (--network off has none)", GIVEN];
        let mut isolation = Isolation::new(&own, &shared);
        let sockets = "abstract sockets";
        if process::landlock_version() < process::LANDLOCK_WITH_SCOPES {
            isolation.shared.push(format!("{sockets} (Linux 6.12 with Landlock could keep them apart)"));
        } else {
            isolation.own.push(sockets.into());
        }
        match self.ids {
            Ids::Own => isolation.own.push("users (ids that no user of this machine has)".into()),
            Ids::Root => isolation.shared.push("users, without their rights over this machine".into()),
            Ids::Range => isolation.own.push("users (a range of /etc/subuid)".into()),
            Ids::SingleUid => {
                let one = "users (one: without a range in /etc/subuid every step is root inside)";
                isolation.own.push(one.into());
            }
        }
        for (parent, what) in [(&cgroups.memory, "memory"), (&cgroups.cpu, "processors")] {
            match parent {
                Some(_) => isolation.own.push(format!("{what} (limited)")),
                None => isolation.shared.push(format!("{what} (no limit)")),
            }
        }
        isolation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::cgroup::{Parent, Version};

    fn isolation(ids: Ids, cgroups: &Cgroups) -> Isolation {
        let path = "/usr/bin/bwrap".into();
        Bubblewrap { path, ids, mounts_images: false, why_not_own: None }.isolation(cgroups)
    }

    #[test]
    fn limited_memory_is_a_builds_own_and_unlimited_processors_are_shared() {
        let memory = Some(Parent { path: "/g".into(), version: Version::V2 });
        let Isolation { own, shared } = isolation(Ids::Range, &Cgroups { memory, cpu: None });
        for word in ["memory (limited)", "users (a range of /etc/subuid)"] {
            assert!(own.contains(&word.into()), "{own:?}");
        }
        assert_eq!(shared.last().map(String::as_str), Some("processors (no limit)"));
    }

    #[test]
    fn the_ids_of_a_sandbox_of_root_are_named() {
        let parent = Some(Parent { path: "/g".into(), version: Version::V2 });
        for (ids, users, is_own) in [
            (Ids::Own, "users (ids that no user of this machine has)", true),
            (Ids::Root, "users, without their rights over this machine", false),
        ] {
            let cgroups = Cgroups { memory: parent.clone(), cpu: parent.clone() };
            let Isolation { own, shared } = isolation(ids, &cgroups);
            assert!(if is_own { &own } else { &shared }.contains(&users.into()), "{own:?} {shared:?}");
            for word in ["session keyring", "a seccomp filter (docker's default profile)"] {
                assert!(own.contains(&word.into()), "{own:?}");
            }
        }
    }
}
