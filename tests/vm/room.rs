//! A host whose file systems have no room for the writes of a guest.

use std::fs;

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    unistd::geteuid,
};

use super::{border::skip, kiln, project, said};

/// More than there is room for, written to the disk and not only to memory: the overlay passes no flush on.
const FILL: &str = "dd if=/dev/zero of=fill bs=1M count=100 oflag=direct";

#[test]
fn a_scratch_disk_that_is_full_ends_the_build_and_is_named() {
    if !geteuid().is_root() {
        return skip("only root can mount a small file system");
    }
    let directory = project("root", &[FILL]);
    let none = None::<&str>;
    // Of this thread and of what it starts: it goes with them.
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .expect("the mount namespace is the test's own");
    // Written while the guest runs, and before there is one.
    for (size, part) in [("size=32m", "no space left on the host"), ("size=40k", "No space left on device")] {
        let small = tempfile::tempdir().expect("a directory can be made");
        let place = small.path().to_str().expect("UTF-8");
        mount(Some("none"), place, Some("tmpfs"), MsFlags::empty(), Some(size)).expect("mounted");
        let output =
            kiln(directory.path()).env("QEMU_DISKS_PATH", place).output().expect("kiln can be started");
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
        for part in [part, place, "QEMU_DISKS_PATH"] {
            assert!(said(&output).contains(part), "{part}: {}", said(&output));
        }
        assert_eq!(fs::read_dir(place).expect("listed").count(), 0, "{}", said(&output));
        umount2(place, MntFlags::MNT_DETACH).expect("unmounted");
    }
}
