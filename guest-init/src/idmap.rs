//! Shows a tree with other owners (an idmapped mount, mount_setattr(2)): on the host its files belong to who runs kiln, inside to
//! the step's user, and nobody has to give anything to anybody.
//!
//! For sandboxes whose agent is root of the machine; in the user namespace of an ordinary user the namespace itself does it.
#![expect(unsafe_code, reason = "system calls that nix does not have")]
// UNSAFETY: calls on numbers, literals and memory that outlives them.

use std::{
    ffi::CString,
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use anyhow::{Context, Result};
use kiln_protocol::IdRange;
use nix::libc;

use crate::namespace;

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

/// The maps of a world, as user namespaces that nothing runs in: most of its mounts share one.
#[derive(Default)]
pub(crate) struct Idmaps {
    known: Vec<(Maps, File)>,
}

/// Of users, and of groups.
type Maps = (Vec<IdRange>, Vec<IdRange>);

impl Idmaps {
    /// Knows a namespace with these maps.
    pub(crate) fn add(&mut self, maps: Maps, namespace: File) {
        self.known.push((maps, namespace));
    }

    /// Mounts `path` over itself with what these ranges make of its owners.
    pub(crate) fn mount(&mut self, path: &str, uids: &[IdRange], gids: &[IdRange]) -> Result<()> {
        if !self.known.iter().any(|((users, groups), _)| users == uids && groups == gids) {
            self.add((uids.to_vec(), gids.to_vec()), namespace::of_maps(uids, gids)?);
        }
        let known = self.known.iter().find(|((users, groups), _)| users == uids && groups == gids);
        over_itself(path, &known.context("it was added above")?.1)
    }
}

fn over_itself(path: &str, map: &File) -> Result<()> {
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
    let userns_fd = map.as_raw_fd().unsigned_abs().into();
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
