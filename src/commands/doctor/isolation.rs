//! The isolation of each backend on this host and for this user, as a help to choose one.
//!
//! Only the examination of Bubblewrap starts a process: a sandbox.

use anyhow::Result;

use super::{Examination, Finding, State};
use crate::{
    backend::{
        Isolation,
        bubblewrap::probe::{self as bubblewrap, Bubblewrap},
        docker::probe::Docker,
        qemu,
    },
    host::{
        cgroup::{Cgroups, WAY_OUT},
        find_program,
    },
};

fn finding(name: &'static str, isolation: Isolation) -> Finding {
    let Isolation { own, shared } = &isolation;
    let detail = format!("a build's own: {}; shared with the host: {}", own.join(", "), shared.join(", "));
    Finding { isolation: Some(isolation), ..Finding::ok(name, detail) }
}

/// The isolation of a microVM.
pub(super) fn qemu(with_kvm: bool) -> Finding {
    finding("isolation of qemu", qemu::isolation(with_kvm))
}

/// The isolation of a container.
pub(super) fn docker(docker: &Docker) -> Finding {
    finding("isolation of docker", docker.isolation())
}

/// The isolation of a sandbox, found by starting one.
pub(super) async fn bubblewrap(Examination { env, host, spawner, .. }: &Examination<'_>) -> Option<Finding> {
    // Another finding says that it is not installed.
    find_program(env, "bwrap")?;
    let found = bubblewrap::find(env, spawner, host, &[]).await;
    Some(of_sandbox(&found, &Cgroups::find()))
}

fn of_sandbox(found: &Result<Bubblewrap>, cgroups: &Cgroups) -> Finding {
    let name = "isolation of bubblewrap";
    match found {
        Ok(found) => {
            let is_limited = cgroups.memory.is_some() && cgroups.cpu.is_some();
            let mend = (!is_limited).then(|| WAY_OUT.to_owned());
            Finding { mend, ..finding(name, found.isolation(cgroups)) }
        }
        Err(error) => Finding::of_error(name, State::Warning, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        host::cgroup::{Parent, Version},
        plan::Ids,
    };

    #[test]
    fn a_sandbox_without_limits_has_the_way_to_them() {
        let found =
            || Bubblewrap { path: "/b".into(), ids: Ids::Range, mounts_images: false, why_not_own: None };
        let parent = || Some(Parent { path: "/g".into(), version: Version::V2 });
        for (cpu, has_way_out) in [(None, true), (parent(), false)] {
            let finding = of_sandbox(&Ok(found()), &Cgroups { memory: parent(), cpu });
            assert_eq!(finding.mend.is_some_and(|mend| mend.contains("systemd-run")), has_way_out);
        }
    }

    #[test]
    fn a_sandbox_that_cannot_be_made_isolates_nothing() {
        let failure = crate::exit::Failure::host("no user namespace", "sysctl");
        let finding = of_sandbox(&Err(failure.into()), &Cgroups::default());
        assert_eq!((finding.state, finding.isolation), (State::Warning, None));
    }
}
