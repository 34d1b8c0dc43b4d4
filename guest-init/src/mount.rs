//! Mounts and makes single things: directories, file systems, binds, links. A whole root is [`root`](crate::root)'s,
//! an overlay [`overlay`](crate::overlay)'s.

use std::{
    fs::{self, Permissions},
    os::{
        fd::BorrowedFd,
        unix::fs::{PermissionsExt, chown, symlink as make_symlink},
    },
    path::Path,
};

use anyhow::{Context, Result, bail};
use kiln_protocol::{Access, MountSource};
use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, openat},
    mount::{MsFlags, mount},
    sys::{
        stat::{Mode, fchmod, mkdirat},
        statvfs::{FsFlags, statvfs},
    },
    unistd::{Gid, Uid, fchownat, setfsgid, setfsuid},
};

use crate::{
    image,
    path_change::Mounts,
    targets::{Found, Targets},
};

/// `mkdir -p`, then owner and mode of the last component.
pub(crate) fn directory(targets: &Targets, path: &str, mode: u32, (uid, gid): (u32, u32)) -> Result<()> {
    let found = targets.directory(path)?;
    // The owner first: a change of owner takes set-id bits away.
    chown(found.path(), Some(uid), Some(gid))
        .with_context(|| format!("change the owner of {path} to {uid}:{gid}"))?;
    fs::set_permissions(found.path(), Permissions::from_mode(mode))
        .with_context(|| format!("set mode {mode:o} of {path}"))
}

/// Makes a directory if it is missing, and its missing parents, all with this mode and owner.
pub(crate) fn ensure_directory(targets: &Targets, path: &str, mode: u32, owner: (u32, u32)) -> Result<()> {
    let make = |parent: BorrowedFd<'_>, name: &Path| {
        match create_as(parent, name, owner) {
            Err(Errno::EACCES | Errno::EPERM) => {
                mkdirat(parent, name, Mode::S_IRWXU)?;
                let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
                fchownat(parent, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            }
            made => made?,
        }
        let made =
            openat(parent, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())?;
        fchmod(made, Mode::from_bits_truncate(mode))
    };
    targets.directory_made_by(path, &make).map(drop)
}

/// Makes a directory with the rights of `uid`: not every share lets root change an owner.
fn create_as(parent: BorrowedFd<'_>, name: &Path, (uid, gid): (u32, u32)) -> nix::Result<()> {
    let (old_gid, old_uid) = (setfsgid(Gid::from_raw(gid)), setfsuid(Uid::from_raw(uid)));
    let made = mkdirat(parent, name, Mode::S_IRWXU);
    setfsuid(old_uid);
    setfsgid(old_gid);
    made
}

/// `mount -t fstype -o options source target`.
pub(crate) fn filesystem(
    source: &MountSource,
    target: &Found,
    fstype: &str,
    options: &str,
    access: Access,
) -> Result<()> {
    let mut flags = access_flags(access);
    let device = match source {
        MountSource::Image(path) => return image::attach(path, target.path(), fstype, options),
        MountSource::Share(tag) => {
            flags |= MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            tag.clone()
        }
        MountSource::Disk(serial) => disk(serial)?,
        MountSource::Name(name) => name.clone(),
    };
    mount(Some(device.as_str()), target.path(), Some(fstype), flags, Some(options))
        .with_context(|| format!("mount {fstype} {device} ({options})"))
}

/// The device of a virtio disk: disks do not always come in the order of QEMU's switches.
fn disk(serial: &str) -> Result<String> {
    let list = || "list /sys/block".to_owned();
    for entry in fs::read_dir("/sys/block").with_context(list)? {
        let entry = entry.with_context(list)?;
        // Not every disk has a serial number.
        if fs::read_to_string(entry.path().join("serial")).is_ok_and(|text| text.trim_end() == serial) {
            return Ok(format!("/dev/{}", entry.file_name().display()));
        }
    }
    bail!("there is no disk with the serial number {serial}")
}

/// A bind mount of a directory; mounts below `source` are not taken along.
pub(crate) fn bind(targets: &Targets, source: &str, target: &str, access: Access) -> Result<()> {
    let context = || format!("bind {source} on {target}");
    let (from, to) =
        (targets.find(source).with_context(context)?, targets.directory(target).with_context(context)?);
    bind_path(from.path(), to.path()).with_context(context)?;
    match access {
        // A bind mount takes no flags, so it is remounted. A new lookup finds the mount.
        Access::ReadOnly => {
            read_only(targets.find(target).with_context(context)?.path()).with_context(context)
        }
        Access::ReadWrite => Ok(()),
    }
}

/// A bind mount of a path on another one that exists.
pub(crate) fn bind_path(source: &str, target: &str) -> Result<()> {
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("bind {source} on {target}"))
}

/// Makes a mount read-only. Its other flags stay: a user namespace may not clear them.
pub(crate) fn read_only(target: &str) -> Result<()> {
    let context = || format!("make {target} read-only");
    let kept = kept_flags(statvfs(target).with_context(context)?.flags());
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | kept;
    mount(None::<&str>, target, None::<&str>, flags, None::<&str>).with_context(context)
}

/// Mounts an empty directory over another one, which can then be neither read nor renamed nor removed.
pub(crate) fn mask(path: &str) -> Result<()> {
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some("mode=0555,size=4k,nr_inodes=1"))
        .with_context(|| format!("mask {path}"))
}

/// A symbolic link, if nothing is there.
pub(crate) fn symlink(path: &str, target: &str) -> Result<()> {
    if Path::new(path).symlink_metadata().is_ok() {
        return Ok(());
    }
    if let Some(parent) = Path::new(path).parent() {
        Mounts::refuse_detour(parent).with_context(|| format!("link {path}"))?;
        fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    }
    make_symlink(target, path).with_context(|| format!("link {path} to {target}"))
}

fn access_flags(access: Access) -> MsFlags {
    match access {
        Access::ReadOnly => MsFlags::MS_RDONLY,
        Access::ReadWrite => MsFlags::empty(),
    }
}

/// The flags of a mounted file system that a remount must repeat.
fn kept_flags(mounted: FsFlags) -> MsFlags {
    // The kernel preserves the atime flags of a mount when a remount names none.
    let pairs = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
    ];
    let kept = pairs.iter().filter(|(has, _)| mounted.contains(*has)).map(|(_, keep)| *keep);
    kept.fold(MsFlags::empty(), |all, one| all | one)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn only_missing_directories_are_made() {
        let root = tempfile::tempdir().expect("a directory");
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let mode = |name: &str| fs::metadata(root.path().join(name)).expect("it is there").mode() & 0o7777;
        fs::create_dir(root.path().join("a")).expect("made");
        fs::set_permissions(root.path().join("a"), Permissions::from_mode(0o700)).expect("set");

        let path = root.path().join("a/b/c");
        ensure_directory(&Targets::new(&[]), &path.to_string_lossy(), 0o750, (uid, gid)).expect("made");

        assert_eq!([mode("a"), mode("a/b"), mode("a/b/c")], [0o700, 0o750, 0o750]);
    }

    #[test]
    fn a_link_is_made_only_if_its_path_is_free() {
        let root = tempfile::tempdir().expect("a directory");
        let at = |name: &str| root.path().join(name);
        fs::write(at("file"), "an image's own").expect("written");
        make_symlink("nowhere", at("dangling")).expect("linked");
        for name in ["file", "dangling", "etc/mtab"] {
            symlink(&at(name).to_string_lossy(), "../proc/self/mounts").expect("made, or left alone");
        }
        assert_eq!(fs::read_to_string(at("file")).expect("there"), "an image's own");
        assert_eq!(fs::read_link(at("dangling")).expect("there"), Path::new("nowhere"));
        assert_eq!(fs::read_link(at("etc/mtab")).expect("made"), Path::new("../proc/self/mounts"));
    }

    #[test]
    fn a_remount_repeats_the_present_flags() {
        let mounted = FsFlags::ST_RDONLY | FsFlags::ST_NOSUID | FsFlags::ST_NODEV;
        assert_eq!(kept_flags(mounted), MsFlags::MS_NOSUID | MsFlags::MS_NODEV);
    }
}
