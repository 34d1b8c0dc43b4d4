//! Makes a directory the root of a sandbox: what the sandbox's maker has mounted moves along, the rest is out of sight.

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

/// What the agent cannot mount by itself where it is root only in its user namespace.
const MOVED: [&str; 3] = ["proc", "sys", "dev"];

/// Devices that the sandbox's maker has bound from the host, a mount each. A read-only mount lets them be written to, but not be given another
/// mode, owner or time.
const DEVICES: [&str; 6] = ["dev/null", "dev/zero", "dev/full", "dev/random", "dev/urandom", "dev/tty"];

/// What root inside could change of the whole machine, were it root outside as well: docker's list of what is read-only.
const READ_ONLY: [&str; 5] = ["proc/sys", "proc/sysrq-trigger", "proc/irq", "proc/bus", "proc/fs"];

/// What tells of the whole machine and its users: docker's list of what cannot be seen, and of what it does not mount at all.
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

/// Takes /proc, /sys and /dev along to `path` and makes that the root; `owner` is root's inside.
pub(crate) fn enter(path: &str, owner: (u32, u32)) -> Result<()> {
    for name in MOVED {
        // A link would lead past what is masked below.
        let (from, to) = (Path::new("/").join(name), targets::real_directory(Path::new(path), name)?);
        mount(Some(&from), &to, None::<&str>, MsFlags::MS_MOVE, None::<&str>)
            .with_context(|| format!("move {} to {}", from.display(), to.display()))?;
    }
    let root = Path::new(path);
    protect(root)?;
    let devices = root.join("dev");
    chown(&devices, Some(owner.0), Some(owner.1))
        .with_context(|| format!("give {} away", devices.display()))?;
    mount_volatile(root)?;
    set_current_dir(path).with_context(|| format!("enter {path}"))?;
    // The old root is stacked on the new one, and taken off it: no directory is needed for it (pivot_root(2)).
    pivot_root(".", ".").context("change the root")?;
    umount2(".", MntFlags::MNT_DETACH).context("detach the old root")?;
    set_current_dir("/").context("enter the new root")
}

/// Keeps the machine's own things from being changed or seen; what this kernel does not have is passed over.
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
            // What cannot be listed by the agent shows nothing to steps, either.
            Ok(there) if there.is_dir() => {
                if fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
                    mask(&path.to_string_lossy())?;
                }
            }
            // As read-only as what is bound.
            Ok(_) => bind_path(&nothing.to_string_lossy(), &path.to_string_lossy())?,
            Err(_) => {}
        }
    }
    Ok(())
}
