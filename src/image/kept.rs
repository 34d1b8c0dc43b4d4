//! Files of kiln's stores. They may have been changed: what was a file may be a link, a pipe or a directory.

use std::{
    fs::{self, File},
    io::{Error, ErrorKind, Result},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use nix::{errno::Errno, libc};

/// What a store has of something.
#[derive(Debug)]
pub(in crate::image) enum Kept<T> {
    /// It is there, and is what it should be.
    Whole(T),
    /// It is not there.
    Missing,
    /// It is something else than what was put there: why.
    Damaged(String),
}

impl<T> Kept<T> {
    /// What was read.
    ///
    /// # Errors
    /// Those that are neither of a missing nor of a damaged file.
    pub(in crate::image) fn of(read: Result<T>) -> Result<Self> {
        match read {
            Ok(value) => Ok(Self::Whole(value)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::Missing),
            Err(error) if [ErrorKind::InvalidData, ErrorKind::UnexpectedEof].contains(&error.kind()) => {
                Ok(Self::Damaged(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }
}

/// Opens a file of a store: never a link, and without waiting for the writer of a pipe.
///
/// # Errors
/// `InvalidData` for what is not a regular file.
pub(in crate::image) fn open(path: &Path) -> Result<File> {
    open_with(path, libc::O_NOFOLLOW)
}

/// Opens a file of the user's, to which a link may lead.
///
/// # Errors
/// As [`open`].
pub(in crate::image) fn open_linked(path: &Path) -> Result<File> {
    open_with(path, 0)
}

fn open_with(path: &Path, flags: i32) -> Result<File> {
    let opened = File::options().read(true).custom_flags(flags | libc::O_NONBLOCK).open(path);
    regular(opened.map_err(no_file)?)
}

/// Opens the file of a lock, or makes it.
///
/// # Errors
/// As [`open`].
pub(in crate::image) fn open_lock(path: &Path) -> Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let opened = File::options().create(true).append(true).custom_flags(flags).open(path);
    let file = opened.map_err(no_file).and_then(regular);
    file.map_err(|error| Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn regular(file: File) -> Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// A link, a pipe without a reader, and a directory that is opened for writing have errors of their own.
fn no_file(error: Error) -> Error {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ELOOP | Errno::ENXIO | Errno::EISDIR) => not_regular(),
        _ => error,
    }
}

fn not_regular() -> Error {
    Error::new(ErrorKind::InvalidData, "it is not a regular file")
}

/// Makes room for a file: what has its name and is no file is removed.
pub(in crate::image) fn make_room(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_damaged_and_nothing_waits_for_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "x").expect("written");
        mkfifo(&path("pipe"), Mode::S_IRWXU).expect("made");
        symlink("file", path("link")).expect("made");
        symlink("gone", path("nowhere")).expect("made");
        fs::create_dir(path("directory")).expect("made");
        for name in ["pipe", "link", "nowhere", "directory"] {
            let kept = Kept::of(open(&path(name))).expect("looked at");
            assert!(matches!(kept, Kept::Damaged(why) if why == "it is not a regular file"), "{name}");
            let error = open_lock(&path(name)).expect_err("refused").to_string();
            assert!(error.ends_with("it is not a regular file") && error.contains(name), "{error}");
        }
        assert!(matches!(Kept::of(open(&path("file"))), Ok(Kept::Whole(_))));
        assert!(matches!(Kept::of(open(&path("gone"))), Ok(Kept::Missing)));
        assert!(open_linked(&path("link")).is_ok() && open_linked(&path("pipe")).is_err());
        make_room(&path("directory")).expect("removed");
        assert!(matches!(Kept::of(open(&path("directory"))), Ok(Kept::Missing)));
    }
}
