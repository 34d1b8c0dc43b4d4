//! A file system whose guest opens and closes files without a message to it ("zero-message open" of fuse(4)'s protocol).
//!
//! A guest that reads a small file sends LOOKUP, OPEN, READ, FLUSH and RELEASE, and one that writes a new one LOOKUP, CREATE, WRITE,
//! SETATTR, FLUSH and RELEASE. OPEN, CREATE and FLUSH that fail with ENOSYS are never sent again, and RELEASE with them: the guest's
//! kernel opens files by itself, makes new ones with MKNOD, and reads and writes by the file's number. The file system below opens a
//! file when it is first read or written, and keeps the last ones open.
//!
//! This is right only for a guest that keeps what it knows of a file when it opens it (`cache=always`), and where close(2) reports
//! nothing that write(2) has not: see [`super::role`].

use std::{ffi::CStr, io, sync::Arc, time::Duration};

use nix::libc;
use virtiofsd::{
    filesystem::{
        Context, Entry, Extensions, FileSystem, GetxattrReply, ListxattrReply, ZeroCopyReader, ZeroCopyWriter,
    },
    fuse::{Attr, FsOptions, OpenOptions, SetattrIn, SetattrValid, SetxattrFlags},
};

use super::open_files::{Access, OpenFile, OpenFiles};

/// The file system `F`, with or without messages when a file is opened.
pub(super) struct ZeroMessageOpen<F: FileSystem> {
    fs: Arc<F>,
    /// `None`: the guest opens and closes files by messages.
    files: Option<OpenFiles<F>>,
}

impl<F: FileSystem> ZeroMessageOpen<F> {
    /// For a guest that may cause `limit` descriptors.
    pub(super) fn new(fs: F, limit: u64) -> Self {
        Self { fs: Arc::new(fs), files: Some(OpenFiles::new(limit)) }
    }

    /// With messages, as the guest would have it.
    pub(super) fn off(fs: F) -> Self {
        Self { fs: Arc::new(fs), files: None }
    }

    /// The file of an inode, opened so that it can be read, or read and written. With messages it is the guest's own.
    fn file(&self, ctx: Context, inode: u64, handle: F::Handle, access: Access) -> io::Result<Using<F>> {
        match &self.files {
            Some(files) => files.get(&self.fs, ctx, inode, access).map(Using::Ours),
            None => Ok(Using::Guests(handle.into())),
        }
    }

    fn no_message(&self) -> io::Result<()> {
        match self.files {
            Some(_) => Err(io::Error::from_raw_os_error(libc::ENOSYS)),
            None => Ok(()),
        }
    }

    fn handle(&self, handle: Option<F::Handle>) -> Option<F::Handle> {
        handle.filter(|_| self.files.is_none())
    }

    fn close(&self, inode: u64) {
        if let Some(files) = &self.files {
            files.close(inode);
        }
    }

    fn close_all(&self) {
        if let Some(files) = &self.files {
            files.close_all();
        }
    }
}

/// The handle of a file for the time of a request.
enum Using<F: FileSystem> {
    Ours(Arc<OpenFile<F>>),
    Guests(u64),
}

impl<F: FileSystem> Using<F> {
    fn handle(&self) -> F::Handle {
        match self {
            Self::Ours(file) => file.handle(),
            Self::Guests(handle) => (*handle).into(),
        }
    }
}

impl<F: FileSystem> FileSystem for ZeroMessageOpen<F> {
    type Inode = F::Inode;
    type Handle = F::Handle;
    type DirIter = F::DirIter;

    fn init(&self, capable: FsOptions) -> io::Result<FsOptions> {
        self.close_all();
        let mut wanted = self.fs.init(capable)?;
        if self.files.is_some() {
            // The guest keeps what it reads, and the target of a symbolic link does not change.
            wanted |= FsOptions::CACHE_SYMLINKS;
        }
        Ok(wanted)
    }

    fn destroy(&self) {
        self.close_all();
        self.fs.destroy();
    }

    fn forget(&self, ctx: Context, inode: Self::Inode, count: u64) {
        let inode = inode.into();
        self.close(inode);
        self.fs.forget(ctx, inode.into(), count);
    }

    fn batch_forget(&self, ctx: Context, requests: Vec<(Self::Inode, u64)>) {
        let requests = requests.into_iter().map(|(inode, count)| {
            let inode = inode.into();
            self.close(inode);
            (inode.into(), count)
        });
        self.fs.batch_forget(ctx, requests.collect());
    }

    fn open(
        &self,
        ctx: Context,
        inode: Self::Inode,
        kill_priv: bool,
        flags: u32,
    ) -> io::Result<(Option<Self::Handle>, OpenOptions)> {
        self.no_message()?;
        self.fs.open(ctx, inode, kill_priv, flags)
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
        self.no_message()?;
        self.fs.create(ctx, parent, name, mode, kill_priv, flags, umask, extensions)
    }

    fn flush(
        &self,
        ctx: Context,
        inode: Self::Inode,
        handle: Self::Handle,
        lock_owner: u64,
    ) -> io::Result<()> {
        self.no_message()?;
        self.fs.flush(ctx, inode, handle, lock_owner)
    }

    fn getattr(
        &self,
        ctx: Context,
        inode: Self::Inode,
        handle: Option<Self::Handle>,
    ) -> io::Result<(Attr, Duration)> {
        self.fs.getattr(ctx, inode, self.handle(handle))
    }

    fn setattr(
        &self,
        ctx: Context,
        inode: Self::Inode,
        attr: SetattrIn,
        handle: Option<Self::Handle>,
        valid: SetattrValid,
    ) -> io::Result<(Attr, Duration)> {
        self.fs.setattr(ctx, inode, attr, self.handle(handle), valid)
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
        let inode = inode.into();
        let file = self.file(ctx, inode, handle, Access::Read)?;
        self.fs.read(ctx, inode.into(), file.handle(), to, size, offset, lock_owner, flags)
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
        let inode = inode.into();
        let file = self.file(ctx, inode, handle, Access::Write)?;
        self.fs.write(
            ctx,
            inode.into(),
            file.handle(),
            from,
            size,
            offset,
            lock_owner,
            delayed,
            kill_priv,
            flags,
        )
    }

    fn fsync(
        &self,
        ctx: Context,
        inode: Self::Inode,
        datasync: bool,
        handle: Self::Handle,
    ) -> io::Result<()> {
        let inode = inode.into();
        let file = self.file(ctx, inode, handle, Access::Read)?;
        self.fs.fsync(ctx, inode.into(), datasync, file.handle())
    }

    fn fallocate(
        &self,
        ctx: Context,
        inode: Self::Inode,
        handle: Self::Handle,
        mode: u32,
        offset: u64,
        length: u64,
    ) -> io::Result<()> {
        let inode = inode.into();
        let file = self.file(ctx, inode, handle, Access::Write)?;
        self.fs.fallocate(ctx, inode.into(), file.handle(), mode, offset, length)
    }

    fn lseek(
        &self,
        ctx: Context,
        inode: Self::Inode,
        handle: Self::Handle,
        offset: u64,
        whence: u32,
    ) -> io::Result<u64> {
        let inode = inode.into();
        let file = self.file(ctx, inode, handle, Access::Read)?;
        self.fs.lseek(ctx, inode.into(), file.handle(), offset, whence)
    }

    fn copyfilerange(
        &self,
        ctx: Context,
        inode_in: Self::Inode,
        handle_in: Self::Handle,
        offset_in: u64,
        inode_out: Self::Inode,
        handle_out: Self::Handle,
        offset_out: u64,
        len: u64,
        flags: u64,
    ) -> io::Result<usize> {
        let (inode_in, inode_out) = (inode_in.into(), inode_out.into());
        let from = self.file(ctx, inode_in, handle_in, Access::Read)?;
        let to = self.file(ctx, inode_out, handle_out, Access::Write)?;
        self.fs.copyfilerange(
            ctx,
            inode_in.into(),
            from.handle(),
            offset_in,
            inode_out.into(),
            to.handle(),
            offset_out,
            len,
            flags,
        )
    }

    forward! {
        fn lookup(ctx: Context, parent: Self::Inode, name: &CStr) -> io::Result<Entry>;
        fn readlink(ctx: Context, inode: Self::Inode) -> io::Result<Vec<u8>>;
        fn symlink(ctx: Context, target: &CStr, parent: Self::Inode, name: &CStr, extensions: Extensions) -> io::Result<Entry>;
        fn mknod(ctx: Context, parent: Self::Inode, name: &CStr, mode: u32, rdev: u32, umask: u32, extensions: Extensions) -> io::Result<Entry>;
        fn mkdir(ctx: Context, parent: Self::Inode, name: &CStr, mode: u32, umask: u32, extensions: Extensions) -> io::Result<Entry>;
        fn unlink(ctx: Context, parent: Self::Inode, name: &CStr) -> io::Result<()>;
        fn rmdir(ctx: Context, parent: Self::Inode, name: &CStr) -> io::Result<()>;
        fn rename(ctx: Context, from: Self::Inode, old: &CStr, to: Self::Inode, new: &CStr, flags: u32) -> io::Result<()>;
        fn link(ctx: Context, inode: Self::Inode, parent: Self::Inode, name: &CStr) -> io::Result<Entry>;
        fn release(ctx: Context, inode: Self::Inode, flags: u32, handle: Self::Handle, flush: bool, flock_release: bool, lock_owner: Option<u64>) -> io::Result<()>;
        fn opendir(ctx: Context, inode: Self::Inode, flags: u32) -> io::Result<(Option<Self::Handle>, OpenOptions)>;
        fn readdir(ctx: Context, inode: Self::Inode, handle: Self::Handle, size: u32, offset: u64) -> io::Result<Self::DirIter>;
        fn fsyncdir(ctx: Context, inode: Self::Inode, datasync: bool, handle: Self::Handle) -> io::Result<()>;
        fn releasedir(ctx: Context, inode: Self::Inode, flags: u32, handle: Self::Handle) -> io::Result<()>;
        fn statfs(ctx: Context, inode: Self::Inode) -> io::Result<libc::statvfs64>;
        fn setxattr(ctx: Context, inode: Self::Inode, name: &CStr, value: &[u8], flags: u32, extra: SetxattrFlags) -> io::Result<()>;
        fn getxattr(ctx: Context, inode: Self::Inode, name: &CStr, size: u32) -> io::Result<GetxattrReply>;
        fn listxattr(ctx: Context, inode: Self::Inode, size: u32) -> io::Result<ListxattrReply>;
        fn removexattr(ctx: Context, inode: Self::Inode, name: &CStr) -> io::Result<()>;
        fn access(ctx: Context, inode: Self::Inode, mask: u32) -> io::Result<()>;
        fn syncfs(ctx: Context, inode: Self::Inode) -> io::Result<()>;
    }
}

#[cfg(test)]
mod tests;
