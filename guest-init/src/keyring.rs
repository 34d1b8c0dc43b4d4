//! A new session keyring for the agent (session-keyring(7)): steps would inherit that of the user that runs kiln, with the keys
//! of mounts and logins.
#![expect(unsafe_code, reason = "keyctl has no safe binding")]
// UNSAFETY: one call, on numbers.

use anyhow::{Context, Result};
use nix::{errno::Errno, libc};

/// `KEYCTL_JOIN_SESSION_KEYRING` of `linux/keyctl.h`.
const JOIN_SESSION_KEYRING: libc::c_long = 1;

/// Joins a new keyring without a name.
pub(crate) fn join_new() -> Result<()> {
    let no_name = std::ptr::null::<libc::c_char>();
    // SAFETY: a null name asks for a keyring without one.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, no_name) };
    match Errno::result(result) {
        // In a container docker has made one, and its filter forbids the call. A kernel without keys has none to hide.
        Ok(_) | Err(Errno::EPERM | Errno::ENOSYS) => Ok(()),
        Err(errno) => Err(errno).context("make a session keyring"),
    }
}
