//! A file system that refuses each name that is more than the name of an entry of a directory, and counts the descriptors in use.
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

use super::descriptors::Descriptors;

/// The file system `F`, whose names are checked and whose descriptors are counted.
pub(super) struct Checked<F> {
    fs: F,
    descriptors: Descriptors,
}

impl<F> Checked<F> {
    /// For a guest that may cause `limit` descriptors.
    pub(super) fn new(fs: F, limit: u64) -> Self {
        Self { fs, descriptors: Descriptors::new(limit) }
    }

    fn opened<H>(&self, (handle, options): (Option<H>, OpenOptions)) -> (Option<H>, OpenOptions) {
        if handle.is_some() {
            self.descriptors.opened();
        }
        (handle, options)
    }
}

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

/// A file that the guest creates to write only is readable to the device: with write-back the guest's kernel reads the pages that are
/// written in part. The passthrough file system does the same when it opens a file, but not when it creates one (1.14.0), and answers
/// such a read with EBADF. What the guest's processes may do with their descriptors is for the guest's kernel to say.
fn readable(flags: u32) -> u32 {
    let flags = flags.cast_signed();
    let readable = match flags & libc::O_ACCMODE {
        libc::O_WRONLY => flags & !libc::O_ACCMODE | libc::O_RDWR,
        _ => flags,
    };
    readable.cast_unsigned()
}

impl<F: FileSystem> FileSystem for Checked<F> {
    type Inode = F::Inode;
    type Handle = F::Handle;
    type DirIter = F::DirIter;

    fn lookup(&self, ctx: Context, parent: Self::Inode, name: &CStr) -> io::Result<Entry> {
        check(name)?;
        self.fs.lookup(ctx, parent, name).map(|entry| self.descriptors.give(entry))
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
        self.fs
            .symlink(ctx, target, parent, name, none_of(extensions))
            .map(|entry| self.descriptors.give(entry))
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
        self.fs
            .mknod(ctx, parent, name, mode, rdev, umask, none_of(extensions))
            .map(|entry| self.descriptors.give(entry))
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
        self.fs
            .mkdir(ctx, parent, name, mode, umask, none_of(extensions))
            .map(|entry| self.descriptors.give(entry))
    }

    fn unlink(&self, ctx: Context, parent: Self::Inode, name: &CStr) -> io::Result<()> {
        check(name)?;
        self.fs.unlink(ctx, parent, name)
    }

    fn rmdir(&self, ctx: Context, parent: Self::Inode, name: &CStr) -> io::Result<()> {
        check(name)?;
        self.fs.rmdir(ctx, parent, name)
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
        self.fs.rename(ctx, from, old, to, new, flags)
    }

    fn link(&self, ctx: Context, inode: Self::Inode, parent: Self::Inode, name: &CStr) -> io::Result<Entry> {
        check(name)?;
        self.fs.link(ctx, inode, parent, name).map(|entry| self.descriptors.give(entry))
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
        let created =
            self.fs.create(ctx, parent, name, mode, kill_priv, readable(flags), umask, none_of(extensions));
        let (entry, handle, options) = created?;
        let (handle, options) = self.opened((handle, options));
        Ok((self.descriptors.give(entry), handle, options))
    }

    fn init(&self, capable: FsOptions) -> io::Result<FsOptions> {
        self.descriptors.clear();
        self.fs.init(capable)
    }

    fn destroy(&self) {
        self.fs.destroy();
        self.descriptors.clear();
    }

    fn forget(&self, ctx: Context, inode: Self::Inode, count: u64) {
        let number = inode.into();
        self.fs.forget(ctx, number.into(), count);
        self.descriptors.forget(number, count);
    }

    fn batch_forget(&self, ctx: Context, requests: Vec<(Self::Inode, u64)>) {
        let requests: Vec<(u64, u64)> =
            requests.into_iter().map(|(inode, count)| (inode.into(), count)).collect();
        let again = requests.iter().map(|&(inode, count)| (inode.into(), count));
        self.fs.batch_forget(ctx, again.collect());
        for (inode, count) in requests {
            self.descriptors.forget(inode, count);
        }
    }

    fn open(
        &self,
        ctx: Context,
        inode: Self::Inode,
        kill_priv: bool,
        flags: u32,
    ) -> io::Result<(Option<Self::Handle>, OpenOptions)> {
        self.fs.open(ctx, inode, kill_priv, flags).map(|opened| self.opened(opened))
    }

    fn opendir(
        &self,
        ctx: Context,
        inode: Self::Inode,
        flags: u32,
    ) -> io::Result<(Option<Self::Handle>, OpenOptions)> {
        self.fs.opendir(ctx, inode, flags).map(|opened| self.opened(opened))
    }

    fn release(
        &self,
        ctx: Context,
        inode: Self::Inode,
        flags: u32,
        handle: Self::Handle,
        flush: bool,
        flock_release: bool,
        lock_owner: Option<u64>,
    ) -> io::Result<()> {
        self.fs.release(ctx, inode, flags, handle, flush, flock_release, lock_owner)?;
        self.descriptors.closed();
        Ok(())
    }

    fn releasedir(
        &self,
        ctx: Context,
        inode: Self::Inode,
        flags: u32,
        handle: Self::Handle,
    ) -> io::Result<()> {
        self.fs.releasedir(ctx, inode, flags, handle)?;
        self.descriptors.closed();
        Ok(())
    }

    forward! {
        fn getattr(ctx: Context, inode: Self::Inode, handle: Option<Self::Handle>) -> io::Result<(Attr, Duration)>;
        fn setattr(ctx: Context, inode: Self::Inode, attr: SetattrIn, handle: Option<Self::Handle>, valid: SetattrValid) -> io::Result<(Attr, Duration)>;
        fn readlink(ctx: Context, inode: Self::Inode) -> io::Result<Vec<u8>>;
        fn flush(ctx: Context, inode: Self::Inode, handle: Self::Handle, lock_owner: u64) -> io::Result<()>;
        fn read<W: ZeroCopyWriter>(ctx: Context, inode: Self::Inode, handle: Self::Handle, to: W, size: u32, offset: u64, lock_owner: Option<u64>, flags: u32) -> io::Result<usize>;
        fn write<R: ZeroCopyReader>(ctx: Context, inode: Self::Inode, handle: Self::Handle, from: R, size: u32, offset: u64, lock_owner: Option<u64>, delayed: bool, kill_priv: bool, flags: u32) -> io::Result<usize>;
        fn fsync(ctx: Context, inode: Self::Inode, datasync: bool, handle: Self::Handle) -> io::Result<()>;
        fn fallocate(ctx: Context, inode: Self::Inode, handle: Self::Handle, mode: u32, offset: u64, length: u64) -> io::Result<()>;
        fn statfs(ctx: Context, inode: Self::Inode) -> io::Result<libc::statvfs64>;
        fn setxattr(ctx: Context, inode: Self::Inode, name: &CStr, value: &[u8], flags: u32, extra: SetxattrFlags) -> io::Result<()>;
        fn getxattr(ctx: Context, inode: Self::Inode, name: &CStr, size: u32) -> io::Result<GetxattrReply>;
        fn listxattr(ctx: Context, inode: Self::Inode, size: u32) -> io::Result<ListxattrReply>;
        fn removexattr(ctx: Context, inode: Self::Inode, name: &CStr) -> io::Result<()>;
        fn readdir(ctx: Context, inode: Self::Inode, handle: Self::Handle, size: u32, offset: u64) -> io::Result<Self::DirIter>;
        fn fsyncdir(ctx: Context, inode: Self::Inode, datasync: bool, handle: Self::Handle) -> io::Result<()>;
        fn access(ctx: Context, inode: Self::Inode, mask: u32) -> io::Result<()>;
        fn lseek(ctx: Context, inode: Self::Inode, handle: Self::Handle, offset: u64, whence: u32) -> io::Result<u64>;
        fn copyfilerange(ctx: Context, inode_in: Self::Inode, handle_in: Self::Handle, offset_in: u64, inode_out: Self::Inode, handle_out: Self::Handle, offset_out: u64, len: u64, flags: u64) -> io::Result<usize>;
        fn syncfs(ctx: Context, inode: Self::Inode) -> io::Result<()>;
    }
}

#[cfg(test)]
mod tests;
