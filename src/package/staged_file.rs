//! Puts finished files into a directory, whole or not at all: a file gets its name by [`Staged::publish`].
//!
//! All calls use one descriptor of the directory, so that a rename meanwhile does not matter.

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    rc::Rc,
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag, open, openat, renameat},
    sys::stat::{Mode, fstat},
    unistd::{UnlinkatFlags, fsync, linkat, unlinkat},
};

/// A directory that files are put into.
pub(crate) struct Directory {
    fd: Rc<OwnedFd>,
}

/// A file that is being written, and removed when it is dropped.
pub(crate) struct Staged {
    file: File,
    directory: Rc<OwnedFd>,
    name: Name,
}

/// The name of a staged file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    /// No name (`O_TMPFILE`): a kill leaves no file.
    Unnamed,
    /// A hidden one, where the file system has no `O_TMPFILE`.
    Hidden(String),
    /// The final one.
    Published,
}

impl Directory {
    /// Opens a directory, which is made if it is missing, with those above it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let fd = open(path, OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        Ok(Self { fd: Rc::new(fd) })
    }

    /// Starts a file.
    pub(crate) fn stage(&self) -> io::Result<Staged> {
        self.try_stage().map_err(|error| or_removed(&self.fd, error))
    }

    fn try_stage(&self) -> io::Result<Staged> {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        match openat(&*self.fd, ".", flags, file_mode()) {
            Ok(fd) => Ok(self.staged(fd, Name::Unnamed)),
            // The file system, or a kernel before 3.11, cannot.
            Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::ENOENT) => self.stage_hidden(),
            Err(error) => Err(error.into()),
        }
    }

    fn stage_hidden(&self) -> io::Result<Staged> {
        let name = hidden_name();
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let fd = openat(&*self.fd, name.as_str(), flags, file_mode())?;
        Ok(self.staged(fd, Name::Hidden(name)))
    }

    fn staged(&self, fd: OwnedFd, name: Name) -> Staged {
        Staged { file: File::from(fd), directory: Rc::clone(&self.fd), name }
    }

    /// Waits until no other process has the lock of the directory, and takes it. It is released when it is dropped.
    pub(crate) fn lock(&self) -> io::Result<Flock<OwnedFd>> {
        // A lock belongs to an opened directory: with a descriptor of its own, threads exclude each other as well.
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let fd = openat(&*self.fd, ".", flags, Mode::empty())?;
        Flock::lock(fd, FlockArg::LockExclusive).map_err(|(_, error)| error.into())
    }

    /// Makes the names of published files durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(fsync(&*self.fd)?)
    }
}

impl Staged {
    /// The file to write to.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name, in place of a file of that name. Its content should have been synced.
    pub(crate) fn publish(mut self, name: &str) -> io::Result<()> {
        self.give(name).map_err(|error| or_removed(&self.directory, error))
    }

    fn give(&mut self, name: &str) -> io::Result<()> {
        if self.name == Name::Unnamed {
            let hidden = hidden_name();
            let itself = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            linkat(AT_FDCWD, itself.as_str(), &*self.directory, hidden.as_str(), AtFlags::AT_SYMLINK_FOLLOW)?;
            self.name = Name::Hidden(hidden);
        }
        if let Name::Hidden(hidden) = &self.name {
            renameat(&*self.directory, hidden.as_str(), &*self.directory, name)?;
        }
        self.name = Name::Published;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Name::Hidden(name) = &self.name {
            // best effort: a hidden file is left behind, and the error that led here is being reported.
            let _ = unlinkat(&*self.directory, name.as_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// The error of a call in a directory, which says little (ENOENT, EPERM) where the directory was removed meanwhile.
fn or_removed(directory: &OwnedFd, error: io::Error) -> io::Error {
    match fstat(directory) {
        Ok(of) if of.st_nlink == 0 => {
            io::Error::new(io::ErrorKind::NotFound, "the directory was removed while it was written to")
        }
        _ => error,
    }
}

/// rw-rw-rw- without the bits of the umask.
fn file_mode() -> Mode {
    Mode::from_bits_truncate(0o666)
}

fn hidden_name() -> String {
    format!(".kiln-{:016x}", RandomState::new().hash_one("a fresh random key makes this a random number"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all_with_and_without_o_tmpfile() {
        for stage in [Directory::stage, Directory::stage_hidden] {
            let scratch = tempfile::tempdir().expect("a scratch directory");
            let path = scratch.path().join("a/b");
            let directory = Directory::open(&path).expect("it can be made");
            std::fs::write(path.join("x"), "old").expect("writable");

            let dropped = stage(&directory).expect("staged");
            dropped.file().write_all(b"half").expect("writable");
            drop(dropped);
            assert_eq!(std::fs::read(path.join("x")).expect("still there"), b"old");

            let staged = stage(&directory).expect("staged");
            staged.file().write_all(b"new").expect("writable");
            staged.publish("x").expect("published");
            assert_eq!(std::fs::read(path.join("x")).expect("there"), b"new");
            assert_eq!(std::fs::read_dir(&path).expect("readable").count(), 1, "nothing is left over");
        }
    }

    #[test]
    fn a_directory_that_was_removed_is_named_as_the_cause() {
        for stage in [Directory::stage, Directory::stage_hidden] {
            let scratch = tempfile::tempdir().expect("a scratch directory");
            let path = scratch.path().join("a");
            let directory = Directory::open(&path).expect("it can be made");
            let staged = stage(&directory).expect("staged");
            std::fs::remove_dir_all(&path).expect("removed");
            let published = staged.publish("x").expect_err("there is no directory");
            let staged = directory.stage().err().expect("there is no directory");
            for error in [published, staged] {
                assert_eq!(error.kind(), io::ErrorKind::NotFound);
                assert!(error.to_string().contains("was removed"), "{error}");
            }
        }
    }
}
