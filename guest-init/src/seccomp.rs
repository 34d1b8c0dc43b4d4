//! Installs the host's filters of system calls for the agent and its later children (seccomp(2)).
//!
//! Once, when the guest is prepared, and not in each step. In docker's containers the agent runs with the same filter.
#![expect(unsafe_code, reason = "seccomp has no safe binding")]
// UNSAFETY: one call, on memory that outlives it.

use std::io;

use anyhow::{Context, Result};
use kiln_protocol::SeccompFilter;
use nix::libc::{self, sock_filter, sock_fprog};

/// Installs the filters in this order. That takes CAP_SYS_ADMIN in the agent's user namespace, or `no_new_privs`, which bwrap sets.
pub(crate) fn install(filters: &[SeccompFilter]) -> Result<()> {
    filters.iter().try_for_each(|filter| {
        let mut instructions = instructions(&filter.program)?;
        let len = instructions.len().try_into().context("a filter of system calls is too long")?;
        let program = sock_fprog { len, filter: instructions.as_mut_ptr() };
        let (operation, flags) = (libc::SECCOMP_SET_MODE_FILTER, 0 as libc::c_ulong);
        // SAFETY: the program is as long as is said, and outlives the call.
        let result = unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const program) };
        let installed = if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
        installed.context("filter system calls (seccomp)")
    })
}

/// `struct sock_filter` of `linux/filter.h`: code (2 bytes), two jumps (1 each), operand (4).
fn instructions(program: &[u8]) -> Result<Vec<sock_filter>> {
    let (instructions, rest) = program.as_chunks::<8>();
    anyhow::ensure!(rest.is_empty(), "a filter of system calls ends within an instruction");
    let instruction = |&[a, b, jt, jf, c, d, e, f]: &[u8; 8]| sock_filter {
        code: u16::from_ne_bytes([a, b]),
        jt,
        jf,
        k: u32::from_ne_bytes([c, d, e, f]),
    };
    Ok(instructions.iter().map(instruction).collect())
}
