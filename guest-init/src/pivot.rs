//! Makes a directory the root of a sandbox: what the sandbox's maker has mounted moves along, the rest is out of sight.

use std::{env::set_current_dir, fs, path::Path};

use anyhow::{Context, Result};
use kiln_protocol::Access;
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    unistd::pivot_root,
};

use crate::{mount::bind, root::furnish};

/// What the agent cannot mount by itself where it is root only in its user namespace.
const TAKEN_ALONG: [&str; 3] = ["proc", "sys", "dev"];

/// What root inside could change of the whole machine, where it is root outside as well.
const OF_THE_MACHINE: [&str; 4] = ["proc/sys", "proc/sysrq-trigger", "proc/irq", "proc/bus"];

/// Takes /proc, /sys and /dev along to `path` and makes that the root.
pub(crate) fn enter(path: &str) -> Result<()> {
    for name in TAKEN_ALONG {
        let (from, to) = (Path::new("/").join(name), Path::new(path).join(name));
        fs::create_dir_all(&to).with_context(|| format!("make {}", to.display()))?;
        mount(Some(&from), &to, None::<&str>, MsFlags::MS_MOVE, None::<&str>)
            .with_context(|| format!("move {} to {}", from.display(), to.display()))?;
    }
    for name in OF_THE_MACHINE {
        let path = Path::new(path).join(name);
        if path.exists() {
            let path = path.to_string_lossy();
            bind(&path, &path, Access::ReadOnly)?;
        }
    }
    furnish(Path::new(path))?;
    set_current_dir(path).with_context(|| format!("enter {path}"))?;
    // The old root is stacked on the new one, and taken off it: no directory is needed for it (pivot_root(2)).
    pivot_root(".", ".").context("change the root")?;
    umount2(".", MntFlags::MNT_DETACH).context("detach the old root")?;
    set_current_dir("/").context("enter the new root")
}
