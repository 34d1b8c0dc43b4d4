//! A file of the cache that is not complete: found or made, locked, continued, and renamed when its hashes are right.
//!
//! A directory, link or pipe that a guest has put in its place is removed, or the file gets another name.

use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::PathBuf,
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, Flock, FlockArg, RenameFlags, renameat2},
    libc,
};

use crate::cache::{self, Change, Lease};

/// How many names it may have: a guest can make a file that kiln cannot remove.
const NAMES: u32 = 4;
/// Errors of open(2) for a directory, link, pipe or device of a guest, or a file that kiln must not write.
const IN_THE_WAY: [i32; 7] =
    [libc::EISDIR, libc::ELOOP, libc::ENXIO, libc::ENODEV, libc::EACCES, libc::EPERM, libc::ENOTDIR];

/// A file that is not complete yet. The kernel releases its lock when the holder ends.
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) file: Flock<File>,
}

impl Part {
    /// The unfinished file of `name`, made if it is missing, and locked.
    pub(super) async fn open(lease: &Lease, name: &str, tell: &dyn Fn(String)) -> Result<Self> {
        for number in 0..NAMES {
            let part = if number == 0 { "part".into() } else { format!("{number}.part") };
            if let Some(part) = Self::open_as(lease, &format!(".fetch.{name}.{part}"), tell).await? {
                return Ok(part);
            }
        }
        bail!("{} has something in the place of {name} that cannot be removed", lease.directory().display())
    }

    /// `None` if something else is in its place and cannot be removed.
    async fn open_as(lease: &Lease, name: &str, tell: &dyn Fn(String)) -> Result<Option<Self>> {
        let path = lease.directory().join(name);
        let context = || format!("write {}", path.display());
        if fs::symlink_metadata(&path).is_ok_and(|there| !is_plain(&there))
            && let Err(error) = cache::discard(lease, name)
        {
            tracing::debug!(name, %error, "another name is taken");
        }
        loop {
            let options = libc::O_NOFOLLOW | libc::O_NONBLOCK;
            let mut opening = File::options();
            opening.read(true).write(true).create(true).mode(0o644).custom_flags(options);
            let file = match opening.open(&path) {
                Err(error) if error.raw_os_error().is_some_and(|code| IN_THE_WAY.contains(&code)) => {
                    return Ok(None);
                }
                opened => opened.with_context(context)?,
            };
            if !is_plain(&file.metadata().with_context(context)?) {
                return Ok(None);
            }
            let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => file,
                Err((file, _)) => {
                    tell("another kiln fetches it: waiting".into());
                    let waited =
                        tokio::task::spawn_blocking(|| Flock::lock(file, FlockArg::LockExclusive)).await;
                    waited.context("wait for a lock")?.map_err(|(_, errno)| errno).with_context(context)?
                }
            };
            // Its last holder may have renamed it: then another file has this name.
            if fs::symlink_metadata(&path).is_ok_and(|there| same(&there, &file)) {
                return Ok(Some(Self { path, file }));
            }
        }
    }

    /// Gives the file its final name, durably; returns the number of replacements that wait, since another build may read a
    /// file of that name.
    pub(super) fn keep_as(self, name: &str, lease: &Lease) -> Result<u64> {
        let directory = lease.directory();
        let kept = directory.join(name);
        let Self { path, file } = self;
        let context = || format!("keep {}", kept.display());
        file.set_permissions(Permissions::from_mode(0o644)).with_context(context)?;
        file.sync_all().with_context(context)?;
        match renameat2(AT_FDCWD, &path, AT_FDCWD, &kept, RenameFlags::RENAME_NOREPLACE) {
            Ok(()) => {
                File::open(directory).and_then(|directory| directory.sync_all()).with_context(context)?;
                Ok(0)
            }
            // EINVAL: the file system has no RENAME_NOREPLACE.
            Err(Errno::EEXIST | Errno::EINVAL) => {
                let changes = BTreeMap::from([(PathBuf::from(name), Change::File(path.clone()))]);
                let waiting = cache::commit_files(lease, &changes)?.waiting;
                fs::remove_file(&path).with_context(context)?;
                Ok(waiting)
            }
            Err(error) => Err(error).with_context(context),
        }
    }

    pub(super) fn remove(self) -> Result<()> {
        fs::remove_file(&self.path).with_context(|| format!("remove {}", self.path.display()))
    }
}

/// Whether it is a regular file with at most one name: another kiln may be renaming it.
fn is_plain(metadata: &fs::Metadata) -> bool {
    metadata.is_file() && metadata.nlink() <= 1
}

fn same(there: &fs::Metadata, file: &File) -> bool {
    file.metadata().is_ok_and(|held| (held.dev(), held.ino()) == (there.dev(), there.ino()))
}
