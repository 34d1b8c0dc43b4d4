//! Landlock (landlock(7)): its version, and a process that sees one directory only.
#![expect(unsafe_code, reason = "landlock has no safe binding")]
// UNSAFETY: see each block.

use std::{
    io::Result,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use nix::libc;

use super::syscall::check;

/// `LANDLOCK_CREATE_RULESET_VERSION` of `linux/landlock.h`.
const VERSION: libc::c_ulong = 1;
/// The version with which a sandbox keeps the host's abstract sockets from its steps (Linux 6.12).
pub const LANDLOCK_WITH_SCOPES: i64 = 6;

/// The version; 0 where there is none, or where it is switched off.
pub fn landlock_version() -> i64 {
    // SAFETY: a null attribute of no bytes asks for the version.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<libc::c_void>(), 0, VERSION) };
    version.max(0)
}

/// The version from which a file may be linked or renamed into another directory (Linux 5.19): before it, Landlock forbids that.
const LANDLOCK_WITH_REFER: i64 = 2;
/// The version from which truncate(2) is a right (Linux 6.2).
const LANDLOCK_WITH_TRUNCATE: i64 = 3;
/// `LANDLOCK_RULE_PATH_BENEATH` of `linux/landlock.h`.
const PATH_BENEATH: libc::c_ulong = 1;
/// `LANDLOCK_ACCESS_FS_EXECUTE`.
const EXECUTE: u64 = 1;

/// `struct landlock_ruleset_attr` of the first version: later ones are longer.
#[repr(C)]
struct RulesetAttr {
    handled_access_fs: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneathAttr {
    allowed_access: u64,
    parent_fd: RawFd,
}

/// Leaves this thread, and those that it starts, no file but those beneath `root`, and nothing to execute. The thread has
/// `no_new_privs`. Whether this kernel could do so: from Linux 5.19 on.
///
/// # Errors
/// Those of landlock_create_ruleset(2), landlock_add_rule(2) and landlock_restrict_self(2).
pub(super) fn stay_beneath(root: BorrowedFd<'_>) -> Result<bool> {
    // All rights of a version are the bits below its first unknown one.
    let rights: u64 = match landlock_version() {
        ..LANDLOCK_WITH_REFER => return Ok(false),
        LANDLOCK_WITH_REFER => (1 << 14) - 1,
        LANDLOCK_WITH_TRUNCATE.. => (1 << 15) - 1,
    };
    let attr = RulesetAttr { handled_access_fs: rights };
    // SAFETY: the attribute lives through the call, which reads as many bytes as it is long.
    let number = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, ptr::from_ref(&attr), size_of::<RulesetAttr>(), 0)
    };
    let number = check(libc::c_int::try_from(number).unwrap_or(-1))?;
    // SAFETY: the kernel has just made this descriptor for this process, and only this function has its number.
    let ruleset = unsafe { OwnedFd::from_raw_fd(number) };
    let beneath = PathBeneathAttr { allowed_access: rights & !EXECUTE, parent_fd: root.as_raw_fd() };
    // SAFETY: the attribute lives through the call, which reads it in the form that the third argument names.
    let added = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            PATH_BENEATH,
            ptr::from_ref(&beneath),
            0,
        )
    };
    check(libc::c_int::try_from(added).unwrap_or(-1))?;
    // SAFETY: plain system call, on numbers.
    let restricted = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    check(libc::c_int::try_from(restricted).unwrap_or(-1)).map(|_| true)
}
