//! A directory with two users swapped (an idmapped mount, mount_setattr(2)): a detached, read-only copy of its mount, for use as a
//! layer of an overlay.
#![expect(unsafe_code, reason = "mount_setattr has no safe binding")]
// UNSAFETY: one call, on numbers, an empty literal and memory that outlives it.

use std::{
    fs::File,
    io::{Error, Result},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
};

use anyhow::Context;
use nix::libc;
use rustix::mount::{FsOpenFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsopen, open_tree};

use super::{
    namespace::{IdMap, user_namespace},
    syscall::check,
};

/// `struct mount_attr`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// A copy of the mount of `directory`, with the ids of `map`, for a layer `below` another directory. Takes root of the machine, a
/// file system with idmapped mounts, and a kernel whose overlays take detached mounts (from 6.15 on).
///
/// # Errors
/// When one of them is missing.
pub fn idmapped(directory: impl AsFd, map: IdMap, below: impl AsFd) -> anyhow::Result<OwnedFd> {
    let namespace = user_namespace(map).context("make a user namespace")?;
    let tree = clone_mount(directory.as_fd()).context("take a copy of the mount")?;
    idmap(&tree, &namespace).context("translate the owners of its files")?;
    try_as_layer(&tree, below).context("have an overlay take what is mounted nowhere for a layer")?;
    Ok(tree)
}

/// The first of these directories whose file system has no idmapped mounts, and why; tried with detached copies of their mounts.
/// Takes root of the machine.
///
/// # Errors
/// When no user namespace can be made.
pub fn idmappable<'a>(directories: &[&'a Path]) -> anyhow::Result<Option<(&'a Path, Error)>> {
    let namespace = user_namespace(IdMap::sole(0, 0)).context("make a user namespace")?;
    let tried = |path: &Path| {
        let directory = File::options().read(true).custom_flags(libc::O_PATH).open(path)?;
        idmap(&clone_mount(directory.as_fd())?, &namespace)
    };
    Ok(directories.iter().find_map(|&path| tried(path).err().map(|error| (path, error))))
}

/// Makes an overlay that is never mounted, and ends with its descriptor.
fn try_as_layer(tree: &OwnedFd, below: impl AsFd) -> Result<()> {
    let lower = format!("/proc/self/fd/{}:/proc/self/fd/{}", below.as_fd().as_raw_fd(), tree.as_raw_fd());
    let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&overlay, "lowerdir", lower)?;
    Ok(fsconfig_create(overlay)?)
}

fn clone_mount(directory: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(open_tree(directory, "", flags)?)
}

/// Attributes of a mount: `MOUNT_ATTR_…` of mount_setattr(2).
pub(super) type Attributes = u64;

/// Sets attributes of the mount whose root `mounted` is, and of all that are mounted below it.
pub(super) fn set_attributes(mounted: &impl AsRawFd, attributes: Attributes) -> Result<()> {
    let attr = MountAttr { set: attributes, clear: 0, propagation: 0, userns_fd: 0 };
    set_with(mounted, &attr, libc::AT_EMPTY_PATH | libc::AT_RECURSIVE)
}

/// Makes a copy read-only, with the ids of a user namespace.
fn idmap(tree: &OwnedFd, namespace: &File) -> Result<()> {
    let attr = MountAttr {
        set: libc::MOUNT_ATTR_IDMAP | libc::MOUNT_ATTR_RDONLY,
        clear: 0,
        propagation: 0,
        userns_fd: namespace.as_raw_fd().unsigned_abs().into(),
    };
    set_with(tree, &attr, libc::AT_EMPTY_PATH)
}

fn set_with(tree: &impl AsRawFd, attr: &MountAttr, flags: libc::c_int) -> Result<()> {
    let (tree, size) = (tree.as_raw_fd(), size_of::<MountAttr>());
    let attr: *const MountAttr = attr;
    // SAFETY: an empty path means the descriptor itself; the struct is as large as is said and outlives the call.
    let done = unsafe { libc::syscall(libc::SYS_mount_setattr, tree, c"".as_ptr(), flags, attr, size) };
    check(libc::c_int::try_from(done).expect("0 or -1")).map(drop)
}
