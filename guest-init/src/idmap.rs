//! Shows a tree with two users in each other's place (an idmapped mount): on the host its files belong to who runs kiln,
//! inside to the step's user, and nobody has to give anything to anybody.
//!
//! For sandboxes whose agent is root of the machine (mount_setattr(2)); in a user namespace the namespace itself does it.
#![expect(unsafe_code, reason = "a child in a user namespace, and system calls that nix does not have")]
// UNSAFETY: a fork whose child only waits, and calls on numbers, literals and memory that outlives them.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{self, Read, pipe},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use anyhow::{Context, Result};
use nix::{
    libc,
    sched::{CloneFlags, unshare},
    sys::wait::waitpid,
    unistd::{ForkResult, fork},
};

/// `MOUNT_ATTR_IDMAP` of `linux/mount.h`.
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
/// `OPEN_TREE_CLONE`, and `MOVE_MOUNT_F_EMPTY_PATH`.
const OPEN_TREE_CLONE: libc::c_uint = 1;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;

/// `struct mount_attr`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Mounts `path` over itself with `outside` and `inside`, (uid, gid) each, swapped.
pub(crate) fn swap(path: &str, outside: (u32, u32), inside: (u32, u32)) -> Result<()> {
    let names = namespace(outside, inside)?;
    let name = CString::new(path).with_context(|| format!("{path} holds a zero byte"))?;
    let tree = call(|| {
        // SAFETY: the path ends in a zero byte and outlives the call.
        unsafe {
            libc::syscall(
                libc::SYS_open_tree,
                libc::AT_FDCWD,
                name.as_ptr(),
                OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint,
            )
        }
    })
    .with_context(|| format!("take a copy of the mount at {path}"))?;
    // SAFETY: the descriptor was just made, and nobody else has it.
    let tree = unsafe { OwnedFd::from_raw_fd(tree as libc::c_int) };
    let userns_fd = names.as_raw_fd().unsigned_abs().into();
    let attr = MountAttr { set: MOUNT_ATTR_IDMAP, clear: 0, propagation: 0, userns_fd };
    call(|| {
        // SAFETY: an empty path means the descriptor itself; the struct is as large as is said and outlives the call.
        unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                tree.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_EMPTY_PATH,
                &raw const attr,
                size_of::<MountAttr>(),
            )
        }
    })
    .with_context(|| {
        format!("translate the owners below {path}: its file system has no idmapped mounts; use run-as root, or run kiln as an ordinary user")
    })?;
    call(|| {
        // SAFETY: both paths end in a zero byte and outlive the call.
        unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                tree.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_FDCWD,
                name.as_ptr(),
                MOVE_MOUNT_F_EMPTY_PATH,
            )
        }
    })
    .with_context(|| format!("mount the translated {path}"))
    .map(drop)
}

fn call(made: impl FnOnce() -> libc::c_long) -> io::Result<libc::c_long> {
    let result = made();
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A user namespace whose map is the swap. It needs a process to be made, which ends when it has been opened.
fn namespace(outside: (u32, u32), inside: (u32, u32)) -> Result<File> {
    let (mut ready, is_ready) = pipe().context("make a pipe")?;
    let (is_done, done) = pipe().context("make a pipe")?;
    // SAFETY: the agent has one thread; the child makes system calls on what it has, and ends by _exit.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Child => {
            drop(done);
            let code = libc::c_int::from(unshare(CloneFlags::CLONE_NEWUSER).is_err());
            drop(is_ready);
            // Until the agent has looked.
            let _ = (&is_done).read(&mut [0]);
            // SAFETY: ends the child without running anything of the agent's.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => {
            drop((is_ready, is_done));
            let opened = (|| {
                ready.read_to_end(&mut Vec::new()).context("wait for a process")?;
                let file = |name: &str| format!("/proc/{child}/{name}");
                fs::write(file("uid_map"), map(outside.0, inside.0)).context("map users")?;
                fs::write(file("gid_map"), map(outside.1, inside.1)).context("map groups")?;
                File::open(file("ns/user")).context("open a user namespace")
            })();
            drop(done);
            waitpid(child, None).context("wait for a process")?;
            opened.context("make a user namespace")
        }
    }
}

/// All ids as they are, but for the two.
fn map(outside: u32, inside: u32) -> String {
    let (low, high) = (outside.min(inside), outside.max(inside));
    let ranges = [(0, low), (low + 1, high), (high + 1, u32::MAX)];
    let same = ranges.iter().filter(|(from, to)| from < to);
    let same = same.map(|(from, to)| format!("{from} {from} {}\n", to - from)).collect::<String>();
    format!("{outside} {inside} 1\n{inside} {outside} 1\n{same}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_names_every_id_once() {
        assert_eq!(map(0, 1000), "0 1000 1\n1000 0 1\n1 1 999\n1001 1001 4294966294\n");
        assert_eq!(map(0, 1), "0 1 1\n1 0 1\n2 2 4294967293\n");
    }
}
