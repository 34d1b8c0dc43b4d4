//! Denies steps the host's abstract sockets. They belong to the network namespace, which a sandbox may share, and have neither owner
//! nor mode. Their servers (X, D-Bus, old containerd shims) check the peer's user at most, which may be the user that runs kiln.
//!
//! By Landlock (landlock(7)), from Linux 6.12 on. Older kernels, and those without Landlock, have no means for it.
#![expect(unsafe_code, reason = "landlock has no safe binding")]
// UNSAFETY: calls on numbers and on a struct that outlives them.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::{errno::Errno, libc};

/// `LANDLOCK_CREATE_RULESET_VERSION` of `linux/landlock.h`.
const VERSION: libc::c_ulong = 1;
/// The first version with scopes.
const WITH_SCOPES: libc::c_long = 6;
/// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET`.
const ABSTRACT_SOCKETS: u64 = 1;

/// `struct landlock_ruleset_attr`. It handles neither files nor ports: rules for files would forbid mounts.
#[repr(C)]
struct Ruleset {
    files: u64,
    ports: u64,
    scoped: u64,
}

/// Restricts the agent and its steps to abstract sockets that they have made themselves.
pub(crate) fn keep_abstract_sockets() -> Result<()> {
    // SAFETY: a null attribute of no bytes asks for the version.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<Ruleset>(), 0, VERSION) };
    if version < WITH_SCOPES {
        return Ok(());
    }
    let ruleset = Ruleset { files: 0, ports: 0, scoped: ABSTRACT_SOCKETS };
    let (size, flags) = (size_of::<Ruleset>(), 0 as libc::c_ulong);
    // SAFETY: the struct is as large as is said, and outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const ruleset, size, flags) };
    let fd = Errno::result(fd).context("make a ruleset of Landlock")?;
    // SAFETY: the descriptor was just made, and has no other owner.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) };
    // SAFETY: plain numbers. bwrap has set `no_new_privs`, which the call takes.
    let restricted = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, fd.as_raw_fd(), flags) };
    Errno::result(restricted).context("keep the host's abstract sockets from steps").map(drop)
}
