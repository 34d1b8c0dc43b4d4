//! Makes a directory the root of a sandbox: bwrap's mounts of /proc, /sys and /dev move along, the rest is detached.

use std::{env::set_current_dir, fs, os::unix::fs::chown, path::Path};

use anyhow::{Context, Result};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    unistd::pivot_root,
};

use crate::{
    mount::{bind_path, mask, read_only},
    root::mount_volatile,
    targets,
};

/// Mounts that the agent cannot make by itself where it is root only of its user namespace.
const MOVED: [&str; 3] = ["proc", "sys", "dev"];

/// Devices that bwrap has bound from the host, a mount each. A read-only mount permits writes to a device, but no change of its
/// mode, owner or times.
const DEVICES: [&str; 6] = ["dev/null", "dev/zero", "dev/full", "dev/random", "dev/urandom", "dev/tty"];

/// Settings of the whole machine, which root of the machine could change: docker's list of read-only paths.
const READ_ONLY: [&str; 5] = ["proc/sys", "proc/sysrq-trigger", "proc/irq", "proc/bus", "proc/fs"];

/// Information on the whole machine and its users: docker's list of masked paths, and paths that it does not mount at all.
const MASKED: [&str; 15] = [
    "proc/acpi",
    "proc/asound",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_list",
    "proc/timer_stats",
    "sys/devices/virtual/powercap",
    "sys/firmware",
    "sys/kernel/debug",
    "sys/kernel/security",
    "sys/kernel/tracing",
];

/// Moves /proc, /sys and /dev to `path` and makes that the root; `owner` is root of the namespace.
pub(crate) fn enter(path: &str, owner: (u32, u32)) -> Result<()> {
    for name in MOVED {
        // A link would lead around the masks below.
        let (from, to) = (Path::new("/").join(name), targets::real_directory(Path::new(path), name)?);
        mount(Some(&from), &to, None::<&str>, MsFlags::MS_MOVE, None::<&str>)
            .with_context(|| format!("move {} to {}", from.display(), to.display()))?;
    }
    let root = Path::new(path);
    protect(root)?;
    let devices = root.join("dev");
    chown(&devices, Some(owner.0), Some(owner.1))
        .with_context(|| format!("change the owner of {}", devices.display()))?;
    mount_volatile(root)?;
    set_current_dir(path).with_context(|| format!("enter {path}"))?;
    // The old root is stacked on the new one, and then detached: it needs no directory (pivot_root(2)).
    pivot_root(".", ".").context("change the root")?;
    umount2(".", MntFlags::MNT_DETACH).context("detach the old root")?;
    set_current_dir("/").context("enter the new root")
}

/// Masks paths of the machine, and makes others read-only; those that this kernel does not have are skipped.
fn protect(root: &Path) -> Result<()> {
    for path in READ_ONLY.map(|name| root.join(name)).iter().filter(|path| path.exists()) {
        let path = path.to_string_lossy();
        bind_path(&path, &path)?;
        read_only(&path)?;
    }
    for path in DEVICES.map(|name| root.join(name)).iter().filter(|path| path.exists()) {
        read_only(&path.to_string_lossy())?;
    }
    let nothing = root.join("dev/null");
    for path in MASKED.map(|name| root.join(name)) {
        match fs::symlink_metadata(&path) {
            // A directory that the agent cannot list is not readable for steps, either.
            Ok(there) if there.is_dir() => {
                if fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
                    mask(&path.to_string_lossy())?;
                }
            }
            // Bound read-only above, so it stays read-only.
            Ok(_) => bind_path(&nothing.to_string_lossy(), &path.to_string_lossy())?,
            Err(_) => {}
        }
    }
    Ok(())
}
