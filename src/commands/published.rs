//! Files of repositories that commands replace: whole or not at all, and under the lock that builds take, too.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use anyhow::Result;
use nix::fcntl::{Flock, FlockArg};

use crate::{apk::SigningKey, exit::Failure, package::Directory, report};

/// The permission bits of a mode.
const PERMISSIONS: u32 = 0o7777;

/// Reads a private key, and warns of one that others may read.
pub(super) fn load_key(path: &Path) -> Result<SigningKey> {
    let key = SigningKey::load(path)?;
    if key.is_exposed() {
        report::error(&anyhow::anyhow!(
            "warning: users besides its owner have rights to the private key {}: chmod 600 takes them",
            path.display()
        ));
    }
    Ok(key)
}

/// The directory of a file.
fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Waits for the lock of the directory that an index lies in. It ends when it is dropped.
pub(super) fn lock(path: &Path) -> Result<Flock<File>> {
    let directory = directory(path);
    let lock = || {
        fs::create_dir_all(directory)?;
        Flock::lock(File::open(directory)?, FlockArg::LockExclusive)
            .map_err(|(_, errno)| io::Error::from(errno))
    };
    Ok(lock().map_err(|error| unwritable(directory, &error))?)
}

/// Replaces a file. Readers see the old content or the new one. Without a mode it has that of a new file.
pub(super) fn replace(
    path: &Path,
    mode: Option<u32>,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let write = || {
        let invalid = |why| io::Error::new(ErrorKind::InvalidInput, why);
        let name = path.file_name().ok_or_else(|| invalid("it is a directory"))?;
        let name = name.to_str().ok_or_else(|| invalid("its name is not UTF-8"))?;
        let directory = Directory::open(directory(path))?;
        let staged = directory.stage()?;
        let mut file = staged.file();
        fill(&mut file)?;
        if let Some(mode) = mode {
            file.set_permissions(Permissions::from_mode(mode & PERMISSIONS))?;
        }
        file.sync_all()?;
        staged.publish(name)?;
        directory.sync()
    };
    Ok(write().map_err(|error: io::Error| unwritable(path, &error))?)
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let way_out = "name a place that this user can write, with room for the file";
    Failure::host(format!("write {}: {error}", path.display()), way_out)
}
