//! A jail's root directory: a tmpfs with read-only mounts, one writable directory, and few devices.
//!
//! Made with the invoking user's rights (root's, or those of root of the user's namespace), in a new mount namespace. After it:
//! [`super::init`] makes it the root. Sources are opened first, since the tmpfs may hide them, and closed before any program of the
//! jail runs.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::ErrorKind,
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink},
    },
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::{
    libc,
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::{chdir, chown},
};

use super::{
    super::idmapped::{Attributes, set_attributes},
    ids::JailIds,
    request::{JAIL_DIRECTORY, Jail},
};

/// Devices that every program may use. Their nodes are the host's: no id of the jail can change them.
const DEVICES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];
/// mmdebstrap warns without a console; output must not appear on the host's.
const CONSOLE: (&str, &str) = ("console", "null");
/// Links that programs expect in `/dev`.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];
/// Options of the tmpfs: `/tmp` and `/dev/shm` occupy the host's memory.
const LIMITS: &str = "mode=755,size=256m,nr_inodes=65536";
/// The directory below the staging directory that is the jail's [`JAIL_DIRECTORY`].
const WRITABLE: &str = "work";

/// Makes it in a new mount namespace, for a jail whose root is `ids.root()`, and makes it the working directory: the jail's root may
/// lack the right to reach it by its path.
pub(super) fn prepare(jail: &Jail, ids: &JailIds) -> Result<()> {
    let Jail { staging, read_only, empty, network: _ } = jail;
    let writable = staging.join(WRITABLE);
    make_writable(&writable, ids)?;
    unshare(CloneFlags::CLONE_NEWNS).context("unshare the mount namespace")?;
    let none = None::<&str>;
    // So that these mounts do not propagate to the host.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none).context("make mounts private")?;
    let sources = sources(read_only, &writable)?;
    mount(Some("jail"), staging, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(LIMITS))
        .with_context(|| format!("mount a tmpfs on {}", staging.display()))?;
    for source in &sources {
        source.mount_below(staging)?;
    }
    for path in empty {
        make_directories(&below(staging, path))?;
    }
    for (name, mode) in
        [("proc", 0o755), ("run", 0o755), ("tmp", 0o1777), ("dev/shm", 0o1777), ("dev/pts", 0o755)]
    {
        let path = staging.join(name);
        make_directories(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(mode))
            .with_context(|| format!("set the mode of {}", path.display()))?;
    }
    for (name, target) in LINKS {
        symlink(target, staging.join("dev").join(name)).with_context(|| format!("link /dev/{name}"))?;
    }
    chdir(staging).with_context(|| format!("enter {}", staging.display()))
}

/// Makes the writable directory, owned by the jail's root. Several jails may share it.
fn make_writable(writable: &Path, ids: &JailIds) -> Result<()> {
    match DirBuilder::new().mode(0o755).create(writable) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("make {}", writable.display())),
    }
    let (uid, gid) = ids.root();
    chown(writable, Some(uid.into()), Some(gid.into()))
        .with_context(|| format!("give {} to the jail's root", writable.display()))
}

/// A file that appears below the new root.
enum Source {
    /// A symbolic link with the same target.
    Link { at: PathBuf, target: PathBuf },
    /// A bind mount of an open file.
    Mount { at: PathBuf, file: File, directory: bool, attributes: Attributes },
}

/// Opens all sources, before the tmpfs hides any.
fn sources(read_only: &[PathBuf], writable: &Path) -> Result<Vec<Source>> {
    let nodev = libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOSUID;
    let mut sources = Vec::new();
    for path in read_only {
        sources.extend(source(path, path, nodev | libc::MOUNT_ATTR_RDONLY)?);
    }
    sources.extend(source(writable, Path::new(JAIL_DIRECTORY), nodev)?);
    let same = DEVICES.map(|name| (name, name));
    let dev = Path::new("/dev");
    for (name, host) in same.into_iter().chain([CONSOLE]) {
        let quiet = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;
        sources.extend(source(&dev.join(host), &dev.join(name), quiet)?);
    }
    Ok(sources)
}

fn source(from: &Path, at: &Path, attributes: Attributes) -> Result<Option<Source>> {
    let context = || format!("look at {}", from.display());
    let metadata = match fs::symlink_metadata(from) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(context),
    };
    // A link in the root directory stays one, since its target is mounted, too (/bin to usr/bin); one below is followed (resolv.conf).
    if metadata.is_symlink() && from.parent() == Some(Path::new("/")) {
        let target = fs::read_link(from).with_context(context)?;
        return Ok(Some(Source::Link { at: at.into(), target }));
    }
    let file = match open_path(from.as_os_str()) {
        Ok(file) => file,
        // A link to nothing: /etc/resolv.conf of a host without a network.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("open {}", from.display())),
    };
    let directory = file.metadata().with_context(context)?.is_dir();
    Ok(Some(Source::Mount { at: at.into(), file, directory, attributes }))
}

impl Source {
    fn mount_below(&self, root: &Path) -> Result<()> {
        match self {
            Self::Link { at, target } => {
                symlink(target, below(root, at)).with_context(|| format!("link {}", at.display()))
            }
            Self::Mount { at, file, directory, attributes } => {
                let target = below(root, at);
                let context = || format!("mount {}", at.display());
                if *directory {
                    make_directories(&target)?;
                } else {
                    make_directories(target.parent().unwrap_or(root))?;
                    File::create(&target).with_context(context)?;
                }
                let from = format!("/proc/self/fd/{}", file.as_raw_fd());
                let none = None::<&str>;
                mount(Some(from.as_str()), &target, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
                    .with_context(context)?;
                let mounted = open_path(target.as_os_str()).with_context(context)?;
                set_attributes(&mounted, *attributes)
                    .with_context(|| format!("restrict what is mounted on {}", at.display()))
            }
        }
    }
}

/// `at` as a path of the jail whose root is mounted on `root`.
fn below(root: &Path, at: &Path) -> PathBuf {
    root.join(at.components().filter(|part| *part != Component::RootDir).collect::<PathBuf>())
}

fn make_directories(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .with_context(|| format!("make {}", path.display()))
}

/// Opens a path with O_PATH.
fn open_path(path: &OsStr) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(path)
}
