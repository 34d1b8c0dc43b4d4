//! An open directory, and the operations in it: the only way to files of the cache.
//!
//! No path is followed through a link or out of the directory (openat2, `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`), so a guest
//! may change the tree as it likes, even while kiln works there.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{
        AT_FDCWD, AtFlags, OFlag, OpenHow, RenameFlags, ResolveFlag, open, openat2, readlinkat, renameat,
        renameat2,
    },
    sys::{
        stat::{
            FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstatat, futimens,
            mkdirat, utimensat,
        },
        time::TimeSpec,
    },
    unistd::{UnlinkatFlags, fchownat, fsync, linkat, symlinkat, syncfs, unlinkat},
};

/// An open directory.
#[derive(Debug)]
pub(in crate::cache) struct BeneathDir {
    fd: OwnedFd,
}

/// The type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) enum FileType {
    Directory,
    File,
    Symlink,
    /// A device, fifo or socket.
    Other,
}

/// The type that a stat says.
pub(in crate::cache) fn file_type(stat: &FileStat) -> FileType {
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFDIR => FileType::Directory,
        SFlag::S_IFREG => FileType::File,
        SFlag::S_IFLNK => FileType::Symlink,
        _ => FileType::Other,
    }
}

/// The permission bits of a stat.
pub(in crate::cache) fn permissions(stat: &FileStat) -> u32 {
    stat.st_mode & 0o7777
}

/// Whether an entry was renamed, or the new name was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) enum Renamed {
    Done,
    Taken,
}

impl BeneathDir {
    /// Opens a directory of the host by its path: the only step at which links are followed.
    pub(in crate::cache) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self { fd: open(path, flags, Mode::empty())? })
    }

    fn open_below(&self, path: &[u8], flags: OFlag, mode: u32) -> nix::Result<OwnedFd> {
        let resolve = ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW)
            .mode(Mode::from_bits_truncate(mode))
            .resolve(resolve);
        loop {
            match openat2(&self.fd, path, how) {
                // A rename elsewhere got in the way of the check.
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                result => return result,
            }
        }
    }

    /// The directory at a path below this one; `None` where there is none.
    pub(in crate::cache) fn dir(&self, path: &[u8]) -> io::Result<Option<Self>> {
        let path = if path.is_empty() { b"." } else { path };
        match self.open_below(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, 0) {
            Ok(fd) => Ok(Some(Self { fd })),
            // A name that is too long does not exist.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENAMETOOLONG) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The directory of this name, made if it is missing.
    pub(in crate::cache) fn make(&self, name: &[u8]) -> io::Result<Self> {
        loop {
            match mkdirat(&self.fd, name, Mode::S_IRWXU) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
            match self.open_below(name, OFlag::O_RDONLY | OFlag::O_DIRECTORY, 0) {
                Ok(fd) => return Ok(Self { fd }),
                // Another process has found it empty and removed it in between.
                Err(Errno::ENOENT) => {}
                Err(Errno::ELOOP) => return Err(Errno::ENOTDIR.into()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A new directory (0700).
    pub(in crate::cache) fn make_new(&self, name: &[u8]) -> io::Result<()> {
        Ok(mkdirat(&self.fd, name, Mode::S_IRWXU)?)
    }

    /// A new file (0600).
    pub(in crate::cache) fn create(&self, name: &[u8]) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
        Ok(self.open_below(name, flags, 0o600)?.into())
    }

    /// The regular file at a path below, for reading; `None` where there is none.
    pub(in crate::cache) fn file(&self, path: &[u8]) -> io::Result<Option<File>> {
        self.open_file(path, OFlag::empty())
    }

    /// Opens with O_NOATIME where permitted, so that maintenance does not count as use.
    pub(in crate::cache) fn file_unused(&self, path: &[u8]) -> io::Result<Option<File>> {
        match self.open_file(path, OFlag::O_NOATIME) {
            // O_NOATIME is for the owner of the file.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.file(path),
            result => result,
        }
    }

    fn open_file(&self, path: &[u8], more: OFlag) -> io::Result<Option<File>> {
        match self.open_below(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | more, 0) {
            Ok(fd) => {
                let file = File::from(fd);
                Ok(file.metadata()?.is_file().then_some(file))
            }
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENXIO | Errno::ENAMETOOLONG) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The stat of the entry of this name; `None` if there is none.
    pub(in crate::cache) fn stat(&self, name: &[u8]) -> io::Result<Option<FileStat>> {
        match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Where the link of this name leads.
    pub(in crate::cache) fn read_link(&self, name: &[u8]) -> io::Result<OsString> {
        Ok(readlinkat(&self.fd, name)?)
    }

    /// A new symbolic link.
    pub(in crate::cache) fn symlink(&self, target: &[u8], name: &[u8]) -> io::Result<()> {
        Ok(symlinkat(target, &self.fd, name)?)
    }

    /// A hard link, here, to an entry of another directory.
    pub(in crate::cache) fn link(&self, from: &Self, old: &[u8], name: &[u8]) -> io::Result<()> {
        Ok(linkat(&from.fd, old, &self.fd, name, AtFlags::empty())?)
    }

    /// All names, sorted.
    pub(in crate::cache) fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut dir = Dir::from_fd(self.open_below(b".", OFlag::O_RDONLY | OFlag::O_DIRECTORY, 0)?)?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Renames `name` to `target` in `to`, if that name is free.
    pub(in crate::cache) fn move_new(&self, name: &[u8], to: &Self, target: &[u8]) -> io::Result<Renamed> {
        match renameat2(&self.fd, name, &to.fd, target, RenameFlags::RENAME_NOREPLACE) {
            Ok(()) => Ok(Renamed::Done),
            Err(Errno::EEXIST | Errno::ENOTEMPTY) => Ok(Renamed::Taken),
            // The file system does not know the flag. Commits exclude each other; a build that writes straight into the cache
            // at this moment replaces the file, or is replaced: either is whole.
            Err(Errno::EINVAL) => {
                if to.stat(target)?.is_some() {
                    return Ok(Renamed::Taken);
                }
                renameat(&self.fd, name, &to.fd, target)?;
                Ok(Renamed::Done)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Renames `name` to `target` in `to`, and replaces the file or link there.
    pub(in crate::cache) fn move_over(&self, name: &[u8], to: &Self, target: &[u8]) -> io::Result<()> {
        Ok(renameat(&self.fd, name, &to.fd, target)?)
    }

    /// Removes an entry that is no directory.
    pub(in crate::cache) fn unlink(&self, name: &[u8]) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Removes an empty directory; one that is not empty stays.
    pub(in crate::cache) fn remove_empty(&self, name: &[u8]) -> io::Result<()> {
        match unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Its own stat.
    pub(in crate::cache) fn itself(&self) -> io::Result<FileStat> {
        Ok(nix::sys::stat::fstat(&self.fd)?)
    }

    /// Whether it was made at this time or later; false where the file system does not know.
    pub(in crate::cache) fn is_made_since(&self, (seconds, nanos): (i64, i64)) -> io::Result<bool> {
        let made = self.handle()?.metadata()?.created();
        let made = made.ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        Ok(made.is_some_and(|made| {
            (i64::try_from(made.as_secs()).unwrap_or(i64::MAX), i64::from(made.subsec_nanos()))
                >= (seconds, nanos)
        }))
    }

    /// Sets its permission bits.
    pub(in crate::cache) fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(fchmod(&self.fd, Mode::from_bits_truncate(mode))?)
    }

    /// Sets the permission bits of a directory below, which need not be readable.
    pub(in crate::cache) fn set_mode_of(&self, name: &[u8], mode: u32) -> io::Result<()> {
        let fd = self.open_below(name, OFlag::O_PATH | OFlag::O_DIRECTORY, 0)?;
        // The name may belong to another entry by now: change the one that was opened.
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        Ok(fchmodat(AT_FDCWD, path.as_str(), Mode::from_bits_truncate(mode), FchmodatFlags::FollowSymlink)?)
    }

    /// Sets the permission bits of an entry that is no symbolic link; it need not be readable.
    pub(in crate::cache) fn chmod(&self, name: &[u8], mode: u32) -> io::Result<()> {
        let fd = self.open_below(name, OFlag::O_PATH, 0)?;
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        Ok(fchmodat(AT_FDCWD, path.as_str(), Mode::from_bits_truncate(mode), FchmodatFlags::FollowSymlink)?)
    }

    /// A path to the entry of this name, for system calls without a descriptor of a directory. Use only those that follow no
    /// link.
    pub(in crate::cache) fn path_of(&self, name: &[u8]) -> PathBuf {
        Path::new(&format!("/proc/self/fd/{}", self.fd.as_raw_fd())).join(OsStr::from_bytes(name))
    }

    /// Sets its time of modification.
    pub(in crate::cache) fn set_time(&self, seconds: i64, nanos: u32) -> io::Result<()> {
        set_time(&self.fd, seconds, nanos)
    }

    /// Sets the time of modification of a symbolic link itself.
    pub(in crate::cache) fn set_link_time(&self, name: &[u8], seconds: i64, nanos: u32) -> io::Result<()> {
        let time = TimeSpec::new(seconds, i64::from(nanos));
        Ok(utimensat(&self.fd, name, &TimeSpec::UTIME_OMIT, &time, UtimensatFlags::NoFollowSymlink)?)
    }

    /// A copy of the descriptor, for extended attributes.
    pub(in crate::cache) fn handle(&self) -> io::Result<File> {
        Ok(self.fd.try_clone()?.into())
    }

    /// Sets user and group of the entry of this name.
    pub(in crate::cache) fn give(&self, name: &[u8], (user, group): (u32, u32)) -> io::Result<()> {
        let ids = (Some(user.into()), Some(group.into()));
        Ok(fchownat(&self.fd, name, ids.0, ids.1, AtFlags::AT_SYMLINK_NOFOLLOW)?)
    }

    /// Renews the `st_ctime` of the entry of this name, and nothing else of it.
    pub(in crate::cache) fn touch(&self, name: &[u8]) -> io::Result<()> {
        Ok(fchownat(&self.fd, name, None, None, AtFlags::AT_SYMLINK_NOFOLLOW)?)
    }

    /// Makes its names durable.
    pub(in crate::cache) fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.fd)?)
    }

    /// Makes its whole file system durable: one flush instead of one for each of many files.
    pub(in crate::cache) fn sync_file_system(&self) -> io::Result<()> {
        Ok(syncfs(&self.fd)?)
    }
}

/// Sets a file's time of modification.
pub(in crate::cache) fn set_time(file: impl AsFd, seconds: i64, nanos: u32) -> io::Result<()> {
    Ok(futimens(file, &TimeSpec::UTIME_OMIT, &TimeSpec::new(seconds, i64::from(nanos)))?)
}

/// The target of a symbolic link as bytes.
pub(in crate::cache) fn bytes(target: &OsString) -> &[u8] {
    target.as_bytes()
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::symlink,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn nothing_is_reached_through_a_link_or_out_of_the_directory() {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(root.path().join("in/d")).expect("made");
        fs::write(root.path().join("secret"), "x").expect("written");
        symlink("..", root.path().join("in/up")).expect("linked");
        symlink("../secret", root.path().join("in/leak")).expect("linked");
        let dir = BeneathDir::open(&root.path().join("in")).expect("opened");
        assert!(dir.dir(b"d").expect("looked").is_some());
        assert!(dir.dir(b"up").expect("looked").is_none());
        assert!(dir.file(b"leak").expect("looked").is_none());
        assert!(dir.file(b"up/secret").expect("looked").is_none());
        assert!(dir.dir(b"..").is_err());
        assert!(dir.file(b"../secret").is_err());
    }

    #[test]
    fn a_directory_is_made_although_another_removes_it_all_the_time() {
        let root = tempfile::tempdir().expect("a directory");
        let (maker, other) =
            (BeneathDir::open(root.path()).expect("opened"), BeneathDir::open(root.path()).expect("opened"));
        let made = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !made.load(Ordering::Relaxed) {
                    other.make_new(b"d").ok();
                    other.remove_empty(b"d").expect("removed");
                }
            });
            let all = (0..20_000).try_for_each(|_| maker.make(b"d").map(drop));
            made.store(true, Ordering::Relaxed);
            all.expect("made");
        });
        symlink(".", root.path().join("link")).expect("linked");
        assert!(maker.make(b"link").is_err());
    }

    #[test]
    fn a_name_that_is_taken_stays() {
        let root = tempfile::tempdir().expect("a directory");
        for (name, content) in [("a", "1"), ("b", "2")] {
            fs::write(root.path().join(name), content).expect("written");
        }
        let dir = BeneathDir::open(root.path()).expect("opened");
        assert_eq!(dir.move_new(b"a", &dir, b"b").expect("tried"), Renamed::Taken);
        assert_eq!(dir.move_new(b"a", &dir, b"c").expect("tried"), Renamed::Done);
        assert_eq!(fs::read(root.path().join("b")).expect("read"), b"2");
    }
}
