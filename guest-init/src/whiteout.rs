//! A layer of whiteouts, which hides files of a read-only tree in the overlay above it, as overlayfs defines them
//! (`Documentation/filesystems/overlayfs.rst`: a character device 0:0).

use std::{
    fs::{self, Metadata, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Component, Path},
};

use anyhow::{Context, Result, ensure};
use nix::sys::{
    stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat},
    time::{TimeSpec, TimeValLike},
};

/// Makes the layer `directory` that hides `paths` of the tree `like`.
pub(crate) fn make(directory: &str, like: &str, paths: &[String]) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("make {directory}"))?;
    for path in paths {
        hide(Path::new(directory), Path::new(like), Path::new(path))
            .with_context(|| format!("hide {path}"))?;
    }
    Ok(())
}

fn hide(directory: &Path, like: &Path, path: &Path) -> Result<()> {
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    ensure!(plain, "the path leads out of its tree");
    // A whiteout hides also a file that is made later, as long as its directory exists.
    let parent = path.parent().unwrap_or(Path::new(""));
    if !fs::symlink_metadata(like.join(parent)).is_ok_and(|there| there.is_dir()) {
        return Ok(());
    }
    let parents: Vec<&Path> =
        path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()).collect();
    for parent in parents.into_iter().rev() {
        let made = directory.join(parent);
        if !made.exists() {
            fs::create_dir(&made).with_context(|| format!("make {}", made.display()))?;
            copy_metadata(&made, &fs::symlink_metadata(like.join(parent)).context("look at the tree")?)?;
        }
    }
    // The mode of a whiteout has no effect.
    mknod(&directory.join(path), SFlag::S_IFCHR, Mode::empty(), 0).context("make a whiteout")
}

/// Owner, mode and times of a merged directory are those of its topmost layer.
fn copy_metadata(made: &Path, like: &Metadata) -> Result<()> {
    let context = || format!("set the owner, mode and times of {}", made.display());
    chown(made, Some(like.uid()), Some(like.gid())).with_context(context)?;
    fs::set_permissions(made, Permissions::from_mode(like.mode() & 0o7777)).with_context(context)?;
    let time = |seconds, nanos| TimeSpec::seconds(seconds) + TimeSpec::nanoseconds(nanos);
    let (accessed, modified) = (time(like.atime(), like.atime_nsec()), time(like.mtime(), like.mtime_nsec()));
    let at = nix::fcntl::AT_FDCWD;
    utimensat(at, made, &accessed, &modified, UtimensatFlags::NoFollowSymlink).with_context(context)
}
