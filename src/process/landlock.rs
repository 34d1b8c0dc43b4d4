//! Which version of Landlock this kernel has (landlock(7)).
#![expect(unsafe_code, reason = "landlock has no safe binding")]
// UNSAFETY: one call, on numbers.

use nix::libc;

/// `LANDLOCK_CREATE_RULESET_VERSION` of `linux/landlock.h`.
const VERSION: libc::c_ulong = 1;
/// The version with which a sandbox keeps the host's abstract sockets from its steps (Linux 6.12).
pub const LANDLOCK_WITH_SCOPES: i64 = 6;

/// The version; 0 where there is none, or where it is switched off.
pub fn landlock_version() -> i64 {
    // SAFETY: a null attribute of no bytes asks for the version.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0, VERSION)
    };
    version.max(0)
}
