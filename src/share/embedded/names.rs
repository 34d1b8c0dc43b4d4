//! A file system that refuses each name that is more than the name of an entry of a directory.
//!
//! The passthrough file system gives names to openat(2), mkdirat(2) and unlinkat(2) as they come, and the guest chooses them: with
//! `../x` it would leave the directory. The confinement of the process holds that, too; this is the check before it.

use std::{ffi::CStr, io, time::Duration};

use nix::libc;
use virtiofsd::{
    filesystem::{
        Context, Entry, Extensions, FileSystem, GetxattrReply, ListxattrReply, ZeroCopyReader, ZeroCopyWriter,
    },
    fuse::{Attr, FsOptions, OpenOptions, SetattrIn, SetattrValid, SetxattrFlags},
};

/// The file system `F`, whose names are checked.
pub(super) struct CheckedNames<F>(pub(super) F);

/// Refuses what is not the name of an entry: empty, `.`, `..`, or with a `/`. A `CStr` has no zero byte.
fn check(name: &CStr) -> io::Result<()> {
    let name = name.to_bytes();
    match matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
        true => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        false => Ok(()),
    }
}

/// All files belong to one user: neither the guest's groups nor its security labels come to the host.
fn none_of(_: Extensions) -> Extensions {
    Extensions::default()
}

/// Methods without a name, which are those of `F`.
macro_rules! forward {
    ($(fn $method:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        fn $method(&self, $($argument: $type),*) -> $result {
            self.0.$method($($argument),*)
        }
    )*};
}

impl<F: FileSystem> FileSystem for CheckedNames<F> {
    type Inode = F::Inode;
    type Handle = F::Handle;
    type DirIter = F::DirIter;

    fn lookup(&self, ctx: Context, parent: Self::Inode, name: &CStr) -> io::Result<Entry> {
        check(name)?;
        self.0.lookup(ctx, parent, name)
    }

    fn symlink(
        &self,
        ctx: Context,
        target: &CStr,
        parent: Self::Inode,
        name: &CStr,
        extensions: Extensions,
    ) -> io::Result<Entry> {
        // The target is data: only the guest follows it.
        check(name)?;
        self.0.symlink(ctx, target, parent, name, none_of(extensions))
    }

    fn mknod(
        &self,
        ctx: Context,
        parent: Self::Inode,
        name: &CStr,
        mode: u32,
        rdev: u32,
        umask: u32,
        extensions: Extensions,
    ) -> io::Result<Entry> {
        check(name)?;
        self.0.mknod(ctx, parent, name, mode, rdev, umask, none_of(extensions))
    }

    fn mkdir(
        &self,
        ctx: Context,
        parent: Self::Inode,
        name: &CStr,
        mode: u32,
        umask: u32,
        extensions: Extensions,
    ) -> io::Result<Entry> {
        check(name)?;
        self.0.mkdir(ctx, parent, name, mode, umask, none_of(extensions))
    }

    fn unlink(&self, ctx: Context, parent: Self::Inode, name: &CStr) -> io::Result<()> {
        check(name)?;
        self.0.unlink(ctx, parent, name)
    }

    fn rmdir(&self, ctx: Context, parent: Self::Inode, name: &CStr) -> io::Result<()> {
        check(name)?;
        self.0.rmdir(ctx, parent, name)
    }

    fn rename(
        &self,
        ctx: Context,
        from: Self::Inode,
        old: &CStr,
        to: Self::Inode,
        new: &CStr,
        flags: u32,
    ) -> io::Result<()> {
        check(old)?;
        check(new)?;
        self.0.rename(ctx, from, old, to, new, flags)
    }

    fn link(&self, ctx: Context, inode: Self::Inode, parent: Self::Inode, name: &CStr) -> io::Result<Entry> {
        check(name)?;
        self.0.link(ctx, inode, parent, name)
    }

    fn create(
        &self,
        ctx: Context,
        parent: Self::Inode,
        name: &CStr,
        mode: u32,
        kill_priv: bool,
        flags: u32,
        umask: u32,
        extensions: Extensions,
    ) -> io::Result<(Entry, Option<Self::Handle>, OpenOptions)> {
        check(name)?;
        self.0.create(ctx, parent, name, mode, kill_priv, flags, umask, none_of(extensions))
    }

    fn read<W: ZeroCopyWriter>(
        &self,
        ctx: Context,
        inode: Self::Inode,
        handle: Self::Handle,
        to: W,
        size: u32,
        offset: u64,
        lock_owner: Option<u64>,
        flags: u32,
    ) -> io::Result<usize> {
        self.0.read(ctx, inode, handle, to, size, offset, lock_owner, flags)
    }

    fn write<R: ZeroCopyReader>(
        &self,
        ctx: Context,
        inode: Self::Inode,
        handle: Self::Handle,
        from: R,
        size: u32,
        offset: u64,
        lock_owner: Option<u64>,
        delayed: bool,
        kill_priv: bool,
        flags: u32,
    ) -> io::Result<usize> {
        self.0.write(ctx, inode, handle, from, size, offset, lock_owner, delayed, kill_priv, flags)
    }

    forward! {
        fn init(capable: FsOptions) -> io::Result<FsOptions>;
        fn destroy() -> ();
        fn forget(ctx: Context, inode: Self::Inode, count: u64) -> ();
        fn batch_forget(ctx: Context, requests: Vec<(Self::Inode, u64)>) -> ();
        fn getattr(ctx: Context, inode: Self::Inode, handle: Option<Self::Handle>) -> io::Result<(Attr, Duration)>;
        fn setattr(ctx: Context, inode: Self::Inode, attr: SetattrIn, handle: Option<Self::Handle>, valid: SetattrValid) -> io::Result<(Attr, Duration)>;
        fn readlink(ctx: Context, inode: Self::Inode) -> io::Result<Vec<u8>>;
        fn open(ctx: Context, inode: Self::Inode, kill_priv: bool, flags: u32) -> io::Result<(Option<Self::Handle>, OpenOptions)>;
        fn flush(ctx: Context, inode: Self::Inode, handle: Self::Handle, lock_owner: u64) -> io::Result<()>;
        fn fsync(ctx: Context, inode: Self::Inode, datasync: bool, handle: Self::Handle) -> io::Result<()>;
        fn fallocate(ctx: Context, inode: Self::Inode, handle: Self::Handle, mode: u32, offset: u64, length: u64) -> io::Result<()>;
        fn release(ctx: Context, inode: Self::Inode, flags: u32, handle: Self::Handle, flush: bool, flock_release: bool, lock_owner: Option<u64>) -> io::Result<()>;
        fn statfs(ctx: Context, inode: Self::Inode) -> io::Result<libc::statvfs64>;
        fn setxattr(ctx: Context, inode: Self::Inode, name: &CStr, value: &[u8], flags: u32, extra: SetxattrFlags) -> io::Result<()>;
        fn getxattr(ctx: Context, inode: Self::Inode, name: &CStr, size: u32) -> io::Result<GetxattrReply>;
        fn listxattr(ctx: Context, inode: Self::Inode, size: u32) -> io::Result<ListxattrReply>;
        fn removexattr(ctx: Context, inode: Self::Inode, name: &CStr) -> io::Result<()>;
        fn opendir(ctx: Context, inode: Self::Inode, flags: u32) -> io::Result<(Option<Self::Handle>, OpenOptions)>;
        fn readdir(ctx: Context, inode: Self::Inode, handle: Self::Handle, size: u32, offset: u64) -> io::Result<Self::DirIter>;
        fn fsyncdir(ctx: Context, inode: Self::Inode, datasync: bool, handle: Self::Handle) -> io::Result<()>;
        fn releasedir(ctx: Context, inode: Self::Inode, flags: u32, handle: Self::Handle) -> io::Result<()>;
        fn access(ctx: Context, inode: Self::Inode, mask: u32) -> io::Result<()>;
        fn lseek(ctx: Context, inode: Self::Inode, handle: Self::Handle, offset: u64, whence: u32) -> io::Result<u64>;
        fn copyfilerange(ctx: Context, inode_in: Self::Inode, handle_in: Self::Handle, offset_in: u64, inode_out: Self::Inode, handle_out: Self::Handle, offset_out: u64, len: u64, flags: u64) -> io::Result<usize>;
        fn syncfs(ctx: Context, inode: Self::Inode) -> io::Result<()>;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file system that takes any name: each call that has one fails with [`WILLING`].
    struct Willing;

    const WILLING: i32 = libc::EXDEV;

    fn willing<T>() -> io::Result<T> {
        Err(io::Error::from_raw_os_error(WILLING))
    }

    impl FileSystem for Willing {
        type Inode = u64;
        type Handle = u64;
        type DirIter = virtiofsd::read_dir::ReadDir<Vec<u8>>;

        fn lookup(&self, _: Context, _: u64, _: &CStr) -> io::Result<Entry> {
            willing()
        }
        fn symlink(
            &self,
            _: Context,
            _: &CStr,
            _: u64,
            _: &CStr,
            extensions: Extensions,
        ) -> io::Result<Entry> {
            assert!(extensions.sup_gids.is_empty());
            willing()
        }
        fn mknod(
            &self,
            _: Context,
            _: u64,
            _: &CStr,
            _: u32,
            _: u32,
            _: u32,
            _: Extensions,
        ) -> io::Result<Entry> {
            willing()
        }
        fn mkdir(&self, _: Context, _: u64, _: &CStr, _: u32, _: u32, _: Extensions) -> io::Result<Entry> {
            willing()
        }
        fn unlink(&self, _: Context, _: u64, _: &CStr) -> io::Result<()> {
            willing()
        }
        fn rmdir(&self, _: Context, _: u64, _: &CStr) -> io::Result<()> {
            willing()
        }
        fn rename(&self, _: Context, _: u64, _: &CStr, _: u64, _: &CStr, _: u32) -> io::Result<()> {
            willing()
        }
        fn link(&self, _: Context, _: u64, _: u64, _: &CStr) -> io::Result<Entry> {
            willing()
        }
        fn create(
            &self,
            _: Context,
            _: u64,
            _: &CStr,
            _: u32,
            _: bool,
            _: u32,
            _: u32,
            _: Extensions,
        ) -> io::Result<(Entry, Option<u64>, OpenOptions)> {
            willing()
        }
    }

    /// The error number of each call that takes a name.
    fn errors(name: &CStr) -> Vec<(&'static str, Option<i32>)> {
        let fs = CheckedNames(Willing);
        let ctx = Context { uid: 0.into(), gid: 0.into(), pid: 1 };
        let error = |result: io::Result<()>| result.expect_err("none succeeds").raw_os_error();
        let extensions = || Extensions { sup_gids: vec![7.into()], ..Extensions::default() };
        let (dir, good) = (1, c"good");
        vec![
            ("lookup", error(fs.lookup(ctx, dir, name).map(drop))),
            ("symlink", error(fs.symlink(ctx, c"../../etc", dir, name, extensions()).map(drop))),
            ("mknod", error(fs.mknod(ctx, dir, name, 0, 0, 0, extensions()).map(drop))),
            ("mkdir", error(fs.mkdir(ctx, dir, name, 0, 0, extensions()).map(drop))),
            ("unlink", error(fs.unlink(ctx, dir, name))),
            ("rmdir", error(fs.rmdir(ctx, dir, name))),
            ("rename from", error(fs.rename(ctx, dir, name, dir, good, 0))),
            ("rename to", error(fs.rename(ctx, dir, good, dir, name, 0))),
            ("link", error(fs.link(ctx, 2, dir, name).map(drop))),
            ("create", error(fs.create(ctx, dir, name, 0, false, 0, 0, extensions()).map(drop))),
        ]
    }

    #[test]
    fn a_name_that_leaves_its_directory_reaches_no_call() {
        for name in [c"", c".", c"..", c"/", c"../evil", c"a/b", c"/etc/passwd", c"a/", c"./a"] {
            for (call, error) in errors(name) {
                assert_eq!(error, Some(libc::EINVAL), "{call} {name:?}");
            }
        }
    }

    #[test]
    fn an_ordinary_name_reaches_each_call() {
        for name in [c"a", c"...", c"..a", c"a..", c".git", c" ", c"\xff\n"] {
            for (call, error) in errors(name) {
                assert_eq!(error, Some(WILLING), "{call} {name:?}");
            }
        }
    }
}
