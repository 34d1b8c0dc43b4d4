//! Files of repositories that commands replace: whole or not at all, and under the lock that builds take, too.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use anyhow::Result;
use nix::fcntl::{Flock, FlockArg};

use crate::{
    apk::{IndexArchive, MAX_INDEX, SigningKey},
    exit::Failure,
    package::Directory,
    report,
};

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

/// Reads an index; `None` if there is none.
pub(super) fn read_index(path: &Path) -> Result<Option<IndexArchive>> {
    let way_out = "make it again of its packages: kiln index -o FILE APK…";
    let failure = |error: io::Error| Failure::host(format!("the index {}: {error}", path.display()), way_out);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failure(error).into()),
    };
    let mut bytes = Vec::new();
    // What is cut off here is no index.
    let limit = u64::try_from(MAX_INDEX).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes).map_err(failure)?;
    Ok(Some(IndexArchive::read(&bytes).map_err(failure)?))
}

/// Replaces a file. Readers see the old content or the new one. Without a mode it has that of a new file.
pub(super) fn replace(
    path: &Path,
    mode: Option<u32>,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let write = || {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "its name is not UTF-8"))?;
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
