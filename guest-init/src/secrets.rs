//! Writes secrets to files in memory that only the steps' user can read.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use anyhow::{Context, Result, bail};
use kiln_protocol::{SECRETS, Secret, Secrets};
use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{TMPFS_MAGIC, statfs},
    unistd::{Gid, Uid, chown},
};

/// Writes them.
pub(crate) fn write(secrets: &Secrets) -> Result<()> {
    let directory = Path::new(SECRETS);
    fs::create_dir_all(directory).with_context(|| format!("make {SECRETS}"))?;
    in_memory(directory)?;
    let Secrets { uid, gid, secrets } = secrets;
    for secret in secrets {
        write_one(directory, secret, (*uid, *gid))?;
    }
    own(directory, 0o500, (*uid, *gid))
}

/// Mounts a tmpfs unless a container's runtime has done so: on a disk the secrets would remain.
fn in_memory(directory: &Path) -> Result<()> {
    let held = statfs(directory).with_context(|| format!("look at {SECRETS}"))?;
    if held.filesystem_type() == TMPFS_MAGIC {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), directory, Some("tmpfs"), flags, Some("mode=0700"))
        .with_context(|| format!("mount a tmpfs on {SECRETS}"))
}

fn write_one(directory: &Path, secret: &Secret, owner: (u32, u32)) -> Result<()> {
    let Secret { id, value } = secret;
    if id.is_empty() || id == "." || id == ".." || id.contains('/') {
        bail!("{id:?} cannot be the name of a secret");
    }
    let path = directory.join(id);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(&path)
        .with_context(|| format!("make {}", path.display()))?;
    file.write_all(value).with_context(|| format!("write {}", path.display()))?;
    own(&path, 0o400, owner)
}

fn own(path: &Path, mode: u32, (uid, gid): (u32, u32)) -> Result<()> {
    let context = || format!("change the owner of {} to the steps' user", path.display());
    chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).with_context(context)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).with_context(context)
}
