//! Changes the owner of a whole tree: for shares whose files have another owner on the host.

use std::{
    ffi::{CStr, CString},
    fs::{self, Permissions},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::Path,
};

use anyhow::{Context, Result, ensure};
use kiln_protocol::ChownScope;
use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag, openat},
    sys::stat::{FileStat, Mode, SFlag, fstat, fstatat},
    unistd::{Gid, Uid, fchownat},
};

const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
const PATH: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Set-user-id and set-group-id, which chown(2) clears.
const SET_ID: u32 = 0o6000;

/// How set-id bits are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetId {
    /// They are restored after the change of owner.
    Kept,
    /// The change of owner clears them.
    Dropped,
}

/// The owner that files get, and of which files.
#[derive(Clone, Copy)]
struct Change {
    owner: (u32, u32),
    scope: ChownScope,
    set_id: SetId,
}

/// Changes the owner of `path` and of everything below it, or of its directories alone, to (uid, gid). Links are not followed,
/// other file systems not entered.
pub(crate) fn all_below(path: &str, owner: (u32, u32), scope: ChownScope, set_id: SetId) -> Result<()> {
    let change = Change { owner, scope, set_id };
    let all = || {
        let name = CString::new(path)?;
        let stat = fstatat(AT_FDCWD, &*name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        change_owner(AT_FDCWD, &name, &stat, change)?;
        if !is_directory(&stat) {
            return Ok(());
        }
        walk(openat(AT_FDCWD, Path::new(path), DIRECTORY, Mode::empty())?, change)
    };
    let (uid, gid) = owner;
    all().with_context(|| format!("change the owner of {path} to {uid}:{gid}"))
}

/// A directory on the way down: its identity, and the directories below it that are still to be entered.
struct Level {
    id: (u64, u64),
    below: Vec<CString>,
}

/// One directory is open at a time: neither PATH_MAX nor the limit of open files bounds the depth of a tree.
fn walk(mut here: OwnedFd, change: Change) -> Result<()> {
    let device = fstat(&here)?.st_dev;
    let mut levels = vec![Level::enter(here.as_fd(), device, change)?];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.below.pop() {
            match openat(&here, &*name, DIRECTORY, Mode::empty()) {
                Ok(below) => here = below,
                // A build that shares the tree has removed or replaced it.
                Err(Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR) => continue,
                Err(errno) => return Err(errno).with_context(|| format!("open {}", name.to_string_lossy())),
            }
            levels.push(Level::enter(here.as_fd(), device, change)?);
        } else {
            levels.pop();
            let Some(Level { id, .. }) = levels.last() else { break };
            here = openat(&here, "..", DIRECTORY, Mode::empty()).context("open a parent")?;
            ensure!(identity(&fstat(&here)?) == *id, "a directory was moved meanwhile");
        }
    }
    Ok(())
}

impl Level {
    /// Changes the owners of what lies in a directory.
    fn enter(directory: BorrowedFd<'_>, device: u64, change: Change) -> Result<Self> {
        let mut level = Self { id: identity(&fstat(directory)?), below: Vec::new() };
        let mut list = Dir::openat(directory, ".", DIRECTORY, Mode::empty()).context("list a directory")?;
        for entry in list.iter() {
            let entry = entry.context("list a directory")?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(Errno::ENOENT) => continue,
                stat => stat.with_context(|| format!("look at {}", name.to_string_lossy()))?,
            };
            // Only of directories: for files an overlay reports the devices of its layers.
            if is_directory(&stat) && stat.st_dev != device {
                continue;
            }
            change_owner(directory, name, &stat, change)
                .with_context(|| format!("change the owner of {}", name.to_string_lossy()))?;
            if is_directory(&stat) {
                level.below.push(name.to_owned());
            }
        }
        Ok(level)
    }
}

fn change_owner(directory: BorrowedFd<'_>, name: &CStr, stat: &FileStat, change: Change) -> Result<()> {
    let Change { owner: (uid, gid), scope, set_id } = change;
    let is_skipped = scope == ChownScope::Directories && !is_directory(stat);
    if is_skipped || (stat.st_uid, stat.st_gid) == (uid, gid) {
        return Ok(());
    }
    let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    match fchownat(directory, name, owner.0, owner.1, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(()),
        changed => changed?,
    }
    let is_file = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    if set_id == SetId::Kept && is_file && stat.st_mode & SET_ID != 0 {
        let file = openat(directory, name, PATH, Mode::empty())?;
        // Unless another file has its name now.
        if identity(&fstat(&file)?) == identity(stat) {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            fs::set_permissions(path, Permissions::from_mode(stat.st_mode & 0o7777))
                .context("keep its mode")?;
        }
    }
    Ok(())
}

fn is_directory(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR
}

fn identity(stat: &FileStat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, lchown, symlink};

    use nix::sys::stat::mkdirat;

    use super::*;

    #[test]
    fn a_tree_of_any_depth_changes_its_owner_and_no_link_is_followed() {
        if !Uid::effective().is_root() {
            return;
        }
        let root = tempfile::tempdir().expect("a directory");
        let (tree, outside) = (root.path().join("tree"), root.path().join("outside"));
        fs::create_dir_all(&tree).expect("made");
        fs::write(&outside, "").expect("written");
        symlink(&outside, tree.join("link")).expect("linked");
        // A change of owner takes the bit away, so its mode comes last.
        fs::write(tree.join("program"), "").expect("written");
        lchown(tree.join("program"), Some(7), Some(7)).expect("given");
        fs::set_permissions(tree.join("program"), Permissions::from_mode(0o4755)).expect("set");
        let mut deepest = openat(AT_FDCWD, &tree, DIRECTORY, Mode::empty()).expect("opened");
        // Longer than a path may be, and more than may be open at once.
        for _ in 0..3000 {
            mkdirat(&deepest, "directory", Mode::S_IRWXU).expect("made");
            deepest = openat(&deepest, "directory", DIRECTORY, Mode::empty()).expect("opened");
        }
        let path = tree.to_string_lossy();
        all_below(&path, (1234, 1235), ChownScope::Everything, SetId::Kept).expect("given");
        let owner = |path: &Path| {
            let metadata = fs::symlink_metadata(path).expect("there");
            (metadata.uid(), metadata.gid())
        };
        let deep = fstat(&deepest).expect("there");
        assert_eq!((deep.st_uid, deep.st_gid), (1234, 1235));
        for name in ["", "link", "program"] {
            assert_eq!(owner(&tree.join(name)), (1234, 1235), "{name}");
        }
        assert_eq!(owner(&outside), (0, 0));
        let mode = || fs::metadata(tree.join("program")).expect("there").mode() & 0o7777;
        assert_eq!(mode(), 0o4755);
        all_below(&path, (0, 0), ChownScope::Everything, SetId::Dropped).expect("given back");
        assert_eq!((mode(), owner(&tree)), (0o755, (0, 0)));
        // Removed from below, since it is too deep for others.
        drop(deepest);
        let removed = std::process::Command::new("rm").arg("-rf").arg(&tree).status().expect("rm is there");
        assert!(removed.success());
    }
}
