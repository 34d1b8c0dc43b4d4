//! How a server of files is confined on this host.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use nix::unistd::geteuid;

use crate::{exit::Failure, host::allow_namespaces, process::user_namespaces_usable};

/// How the daemon is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// New namespaces, with the shared directory as root. An ordinary user needs a user namespace.
    Namespace,
    /// A chroot to the shared directory: for root in a container that may not make namespaces, or in a chroot.
    Chroot,
}

impl Sandbox {
    /// As the daemons' command lines spell it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Chroot => "chroot",
        }
    }
}

/// CAP_SYS_ADMIN of capabilities(7): without it not even root can make the namespaces of the sandbox.
const CAP_SYS_ADMIN: u32 = 21;

/// CAP_SYS_CHROOT: without it root cannot change the root directory either.
const CAP_SYS_CHROOT: u32 = 18;

/// How the daemon can be confined on this host. It is an error if it cannot be, since it serves a guest that may be hostile.
pub fn sandbox() -> Result<Sandbox> {
    if geteuid().is_root() {
        let status = fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
        return of_root(&status, &mounts).map_err(Into::into);
    }
    user_namespaces_usable().map(|()| Sandbox::Namespace).map_err(|why| {
        let allow = allow_namespaces(Path::new("/proc/sys"));
        let way_out = format!("Leave virtiofs off (--cache-mode commit), or allow user namespaces: {allow}");
        cannot(&why, way_out).into()
    })
}

/// What root can do with these capabilities and mounts.
fn of_root(status: &str, mounts: &str) -> Result<Sandbox, Failure> {
    if has_capability(status, CAP_SYS_ADMIN) && root_is_mounted(mounts) {
        return Ok(Sandbox::Namespace);
    }
    if has_capability(status, CAP_SYS_CHROOT) {
        return Ok(Sandbox::Chroot);
    }
    let way_out = "Leave virtiofs off (--cache-mode commit), or give the container the capability SYS_CHROOT or SYS_ADMIN.";
    Err(cannot("root has neither CAP_SYS_ADMIN nor CAP_SYS_CHROOT here", way_out.into()))
}

fn cannot(why: &str, way_out: String) -> Failure {
    Failure::host(format!("the server of virtiofs cannot be confined: {why}"), way_out)
}

fn has_capability(status: &str, capability: u32) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|set| set >> capability & 1 == 1)
}

/// Whether `/` is a mount point in a mountinfo (proc_pid_mountinfo(5)). In a chroot(1) it is not: its mounts cannot be made
/// private, and each daemon fails.
fn root_is_mounted(mountinfo: &str) -> bool {
    mountinfo.lines().any(|line| line.split(' ').nth(4) == Some("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_is_a_bit_of_the_effective_set() {
        assert!(has_capability("CapPrm:\t0\nCapEff:\t0000000000200000\n", CAP_SYS_ADMIN));
        assert!(!has_capability("CapEff:\t00000000a80425fb\n", CAP_SYS_ADMIN));
        assert!(!has_capability("", CAP_SYS_ADMIN));
    }

    #[test]
    fn root_is_confined_as_far_as_its_capabilities_go() {
        let (mounted, not_mounted) = ("22 1 8:1 / / rw - ext4 /dev/root rw\n", "");
        let all = "CapEff:\t0000000000240000\n";
        assert_eq!(of_root(all, mounted).ok(), Some(Sandbox::Namespace));
        assert_eq!(of_root(all, not_mounted).ok(), Some(Sandbox::Chroot));
        assert_eq!(of_root("CapEff:\t0000000000040000\n", mounted).ok(), Some(Sandbox::Chroot));
        let refused = of_root("CapEff:\t00000000a8000000\n", mounted).expect_err("nothing is left");
        assert!(refused.to_string().contains("root has neither CAP_SYS_ADMIN nor CAP_SYS_CHROOT here"));
    }

    #[test]
    fn the_root_of_a_chroot_is_no_mount_point() {
        let proc = "24 22 0:21 / /proc rw,nosuid - proc proc rw\n";
        assert!(!root_is_mounted(proc));
        assert!(root_is_mounted(&format!("{proc}22 1 8:1 / / rw,relatime - ext4 /dev/root rw\n")));
    }
}
