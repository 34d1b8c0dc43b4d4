//! The size of the cache of packages, and the removal of what was not used for a while.

use std::{
    fs::{self, DirEntry, File},
    io::{ErrorKind, Result},
    path::Path,
    time::{Duration, SystemTime},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use super::store::{DIRECTORIES, UNFINISHED, lock_path};

/// A file that is being written is older only if its writer was killed.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// How much a cache of packages holds, or how much was removed of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PackageUsage {
    /// Packages.
    pub packages: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// What a cache holds.
pub(super) fn usage(root: &Path) -> Result<PackageUsage> {
    let mut usage = PackageUsage::default();
    each(root, |name, _, metadata| {
        usage.packages += u64::from(name == "control");
        usage.bytes += metadata.len();
        Ok(())
    })?;
    Ok(usage)
}

/// Removes the files that were not used for `age`; `None` if a build uses the cache now.
pub(super) fn prune(root: &Path, age: Duration) -> Result<Option<PackageUsage>> {
    let file = match File::options().append(true).open(lock_path(root)) {
        // It was never used.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(PackageUsage::default())),
        file => file?,
    };
    let _lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
        Err((_, error)) => return Err(error.into()),
    };
    let (now, mut removed) = (SystemTime::now(), PackageUsage::default());
    each(root, |name, entry, metadata| {
        let is_unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let limit = if is_unfinished { ABANDONED } else { age };
        let unused = metadata.modified().ok().and_then(|used| now.duration_since(used).ok());
        if unused.is_some_and(|unused| unused >= limit) {
            fs::remove_file(entry.path())?;
            removed.packages += u64::from(name == "control");
            removed.bytes += metadata.len();
        }
        Ok(())
    })?;
    Ok(Some(removed))
}

fn each(root: &Path, mut visit: impl FnMut(&str, &DirEntry, &fs::Metadata) -> Result<()>) -> Result<()> {
    for name in DIRECTORIES {
        let entries = match fs::read_dir(root.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_file() {
                visit(name, &entry, &metadata)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(root: &Path, name: &str, age: Duration) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(&path, "12345").expect("written");
        let file = File::options().write(true).open(path).expect("opened");
        file.set_modified(SystemTime::now() - age).expect("set");
    }

    #[test]
    fn what_was_not_used_is_removed_and_what_is_being_written_stays() {
        let root = tempfile::tempdir().expect("a directory");
        let hour = Duration::from_secs(3600);
        for (name, age) in [
            ("control/old", 2 * hour),
            ("control/new", Duration::ZERO),
            ("data/old.tar", 2 * hour),
            ("data/.new-x", 2 * hour),
            ("data/.new-y", 30 * hour),
            ("remote/old", 2 * hour),
            ("elsewhere/old", 2 * hour),
        ] {
            file(root.path(), name, age);
        }
        file(root.path(), "lock", Duration::ZERO);
        let all = usage(root.path()).expect("counted");
        assert_eq!(all, PackageUsage { packages: 2, bytes: 30 });
        let removed = prune(root.path(), hour).expect("pruned");
        assert_eq!(removed, Some(PackageUsage { packages: 1, bytes: 20 }));
        for stays in ["control/new", "data/.new-x", "elsewhere/old"] {
            assert!(root.path().join(stays).exists(), "{stays}");
        }
        let lock = File::open(lock_path(root.path())).expect("opened");
        let _held = Flock::lock(lock, FlockArg::LockShared).expect("a build");
        assert_eq!(prune(root.path(), Duration::ZERO).expect("looked at"), None);
        assert!(root.path().join("control/new").exists());
    }

    #[test]
    fn a_cache_that_was_never_used_holds_nothing() {
        let root = tempfile::tempdir().expect("a directory");
        assert_eq!(usage(root.path()).expect("counted"), PackageUsage::default());
        assert_eq!(prune(root.path(), Duration::ZERO).expect("pruned"), Some(PackageUsage::default()));
    }
}
