//! Shows a tree with other owners (an idmapped mount, mount_setattr(2)): on the host its files belong to the user that runs kiln,
//! inside to the step's user, without a change of owners.
//!
//! For sandboxes whose agent is root of the machine. Elsewhere the user namespace itself translates owners.
#![expect(unsafe_code, reason = "mount_setattr has no safe binding")]
// UNSAFETY: one call, on numbers, an empty literal and memory that outlives it.

use std::{
    fs::File,
    os::fd::{AsRawFd, OwnedFd},
};

use anyhow::{Context, Result};
use kiln_protocol::IdRange;
use nix::{errno::Errno, libc};
use rustix::{
    fs::CWD,
    mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree},
};

use crate::namespace;

/// `MOUNT_ATTR_IDMAP` of `linux/mount.h`.
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;

/// `struct mount_attr`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// The maps of a guest, each as a user namespace without processes. Most mounts share one.
#[derive(Default)]
pub(crate) struct Idmaps {
    known: Vec<(Maps, File)>,
}

/// The maps of users and of groups.
type Maps = (Vec<IdRange>, Vec<IdRange>);

impl Idmaps {
    /// Adds a namespace with these maps.
    pub(crate) fn add(&mut self, maps: Maps, namespace: File) {
        self.known.push((maps, namespace));
    }

    /// Mounts `path` over itself, with its owners translated by these ranges.
    pub(crate) fn mount(&mut self, path: &str, uids: &[IdRange], gids: &[IdRange]) -> Result<()> {
        if !self.known.iter().any(|((users, groups), _)| users == uids && groups == gids) {
            self.add((uids.to_vec(), gids.to_vec()), namespace::of_maps(uids, gids)?);
        }
        let known = self.known.iter().find(|((users, groups), _)| users == uids && groups == gids);
        mount_idmapped(path, &known.context("it was added above")?.1)
    }
}

fn mount_idmapped(path: &str, map: &File) -> Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, path, flags).with_context(|| format!("take a copy of the mount at {path}"))?;
    translate(&tree, map).with_context(|| {
        format!("translate the owners below {path}: its file system has no idmapped mounts; use run-as root, or run kiln as an ordinary user")
    })?;
    move_mount(tree, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .with_context(|| format!("mount the translated {path}"))
}

fn translate(tree: &OwnedFd, map: &File) -> nix::Result<()> {
    let userns_fd = map.as_raw_fd().unsigned_abs().into();
    let attr = MountAttr { set: MOUNT_ATTR_IDMAP, clear: 0, propagation: 0, userns_fd };
    // SAFETY: an empty path means the descriptor itself; the struct is as large as is said and outlives the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    Errno::result(done).map(drop)
}
