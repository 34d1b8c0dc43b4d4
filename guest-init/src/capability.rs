//! The agent's own capabilities (capabilities(7)).
#![expect(unsafe_code, reason = "capget and capset have no safe binding")]
// UNSAFETY: both calls, on memory that outlives them.

use std::io;

use nix::libc;

/// `_LINUX_CAPABILITY_VERSION_3` of capget(2).
const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Makes all capabilities effective that the agent may have: a change of the ids that file systems see takes some away.
pub(crate) fn raise() -> io::Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: header and data are laid out as capget(2) wants them in version 3, and live over the calls.
    unsafe {
        check(libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()))?;
        for data in &mut data {
            data.effective = data.permitted;
        }
        check(libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()))
    }
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
