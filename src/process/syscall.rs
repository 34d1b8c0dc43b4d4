//! What callers of libc need: the result of a call, and the end of a forked copy.
#![expect(unsafe_code, reason = "_exit, which std, nix and rustix do not have")]
// UNSAFETY: see the block.

use std::io::{Error, Result};

use nix::{errno::Errno, libc};

/// The result of a system call: its value, or what `errno` says.
pub(super) fn check(result: libc::c_int) -> Result<libc::c_int> {
    match result {
        -1 => Err(Error::from_raw_os_error(Errno::last_raw())),
        value => Ok(value),
    }
}

/// Ends a forked copy of this process without running anything of the original (destructors, handlers of exit(3)).
pub(super) fn exit(code: libc::c_int) -> ! {
    // SAFETY: plain system call.
    unsafe { libc::_exit(code) }
}
