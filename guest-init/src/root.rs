//! Makes a directory the root of a microVM: the mounts that every program expects, then what `switch_root` does.

use std::{
    env::set_current_dir,
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::Path,
};

use anyhow::{Context, Result};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::stat::{Mode, fchmod},
    unistd::chroot,
};

use crate::{
    mount::symlink,
    targets::{directory_within, real_directory},
};

/// A mount below the new root.
struct Base {
    fstype: &'static str,
    target: &'static str,
    flags: MsFlags,
    data: &'static str,
}

const NOSUID: MsFlags = MsFlags::MS_NOSUID;
const NOSUID_NODEV: MsFlags = NOSUID.union(MsFlags::MS_NODEV);
const NOSUID_NOEXEC: MsFlags = NOSUID.union(MsFlags::MS_NOEXEC);
const NOSUID_NODEV_NOEXEC: MsFlags = NOSUID_NODEV.union(MsFlags::MS_NOEXEC);

/// In the order in which they are mounted. Group 5 is `tty` in every distribution.
const BASE: [Base; 4] = [
    Base { fstype: "proc", target: "proc", flags: NOSUID_NODEV_NOEXEC, data: "" },
    Base { fstype: "sysfs", target: "sys", flags: NOSUID_NODEV_NOEXEC, data: "" },
    Base { fstype: "devtmpfs", target: "dev", flags: NOSUID, data: "mode=0755" },
    Base {
        fstype: "devpts",
        target: "dev/pts",
        flags: NOSUID_NOEXEC,
        data: "newinstance,ptmxmode=0666,mode=0620,gid=5",
    },
];

/// File systems that both a microVM and a sandbox lack.
const MEMORY: [Base; 3] = [
    Base { fstype: "tmpfs", target: "dev/shm", flags: NOSUID_NODEV, data: "mode=1777" },
    Base { fstype: "mqueue", target: "dev/mqueue", flags: NOSUID_NODEV_NOEXEC, data: "" },
    Base { fstype: "tmpfs", target: "run", flags: NOSUID_NODEV, data: "mode=0755" },
];

/// Links in /dev that shells and compilers rely on.
const LINKS: [(&str, &str); 4] = [
    ("dev/fd", "/proc/self/fd"),
    ("dev/stdin", "/proc/self/fd/0"),
    ("dev/stdout", "/proc/self/fd/1"),
    ("dev/stderr", "/proc/self/fd/2"),
];

/// The mounts of [`boot`](crate::boot), deepest first; the new root has its own.
const EARLY: [&str; 3] = ["/sys", "/proc", "/dev"];

/// Mounts the base below `path` and makes it `/`; the initramfs is emptied.
pub(crate) fn enter(path: &str) -> Result<()> {
    mount_all(Path::new(path), &BASE)?;
    mount_volatile(Path::new(path))?;
    for early in EARLY {
        umount2(early, MntFlags::MNT_DETACH).with_context(|| format!("detach {early} of the initramfs"))?;
    }
    set_current_dir(path).with_context(|| format!("enter {path}"))?;
    // The initramfs occupies memory, and is not needed again: its modules are loaded, its agent runs.
    let device = fs::metadata("/").context("look at the initramfs")?.dev();
    empty(Path::new("/"), device).context("empty the initramfs")?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .with_context(|| format!("move {path} to the root"))?;
    chroot(".").context("change the root")?;
    set_current_dir("/").context("enter the new root")
}

fn mount_all(root: &Path, list: &[Base]) -> Result<()> {
    for Base { fstype, target, flags, data } in list {
        let target = real_directory(root, target)?;
        let context = || format!("mount {fstype} on {}", target.display());
        mount(Some(*fstype), &target, Some(*fstype), *flags, Some(*data)).with_context(context)?;
    }
    Ok(())
}

/// Completes a root that has /proc, /sys and /dev.
pub(crate) fn mount_volatile(root: &Path) -> Result<()> {
    mount_all(root, &MEMORY)?;
    for (path, target) in LINKS {
        symlink(&root.join(path).to_string_lossy(), target)?;
    }
    // Not a tmpfs: builds put large files there.
    let tmp = directory_within(root, "tmp")?;
    fchmod(tmp, Mode::from_bits_truncate(0o1777)).context("set the mode of /tmp")?;
    // Some programs test for a container by this file; melange's guests have it.
    mark(&root.join(".dockerenv")).context("make /.dockerenv")
}

/// Makes an empty file. A file of the image is removed first: it may be a link that leads anywhere, or a fifo that blocks.
fn mark(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    File::create_new(path).map(drop)
}

/// Removes everything below `directory` that lies on `device`; mounts are left alone.
fn empty(directory: &Path, device: u64) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.dev() != device {
            continue;
        }
        if metadata.is_dir() {
            empty(&path, device)?;
            // Best effort: a directory with a mount below it stays.
            drop(fs::remove_dir(&path));
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
