//! Files that the device has open for a guest that sends no message when it opens one.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::libc;
use virtiofsd::filesystem::{Context, FileSystem};

/// The most files that the device keeps open.
const MOST_FILES: u64 = 512;

/// The part of the guest's descriptors that those take at most.
const PART_OF_LIMIT: u64 = 4;

/// What a request does with a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// A file that the device has open.
pub(super) struct OpenFile<F: FileSystem> {
    fs: Arc<F>,
    ctx: Context,
    inode: u64,
    handle: u64,
    access: Access,
}

impl<F: FileSystem> OpenFile<F> {
    pub(super) fn handle(&self) -> F::Handle {
        self.handle.into()
    }
}

impl<F: FileSystem> Drop for OpenFile<F> {
    fn drop(&mut self) {
        // A file system that was unmounted has closed all of its files.
        let _ = self.fs.release(self.ctx, self.inode.into(), 0, self.handle.into(), false, false, None);
    }
}

/// The files that were used last. Each is closed when it is no longer here, and no request uses it.
pub(super) struct OpenFiles<F: FileSystem> {
    most: usize,
    table: Mutex<Table<F>>,
}

struct Table<F: FileSystem> {
    /// By inode, with the time of the last use.
    files: HashMap<u64, (u64, Arc<OpenFile<F>>)>,
    now: u64,
}

impl<F: FileSystem> Default for Table<F> {
    fn default() -> Self {
        Self { files: HashMap::new(), now: 0 }
    }
}

impl<F: FileSystem> OpenFiles<F> {
    /// For a guest that may cause `limit` descriptors.
    pub(super) fn new(limit: u64) -> Self {
        let most = usize::try_from(MOST_FILES.min(limit / PART_OF_LIMIT)).unwrap_or(usize::MAX).max(1);
        Self { most, table: Mutex::default() }
    }

    /// The file of an inode, opened if it is not open so that it can be used in this way.
    pub(super) fn get(
        &self,
        fs: &Arc<F>,
        ctx: Context,
        inode: u64,
        access: Access,
    ) -> io::Result<Arc<OpenFile<F>>> {
        if let Some(file) = self.lock().get(inode, access) {
            return Ok(file);
        }
        let flags = match access {
            Access::Read => libc::O_RDONLY,
            Access::Write => libc::O_RDWR,
        };
        let opened = || fs.open(ctx, inode.into(), false, flags.cast_unsigned());
        let (handle, _) = match opened() {
            // Those that are open without need may be what is too many.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                self.close_all();
                opened()
            }
            opened => opened,
        }?;
        let handle = handle.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?.into();
        let file = Arc::new(OpenFile { fs: fs.clone(), ctx, inode, handle, access });
        // What is closed is closed without the lock.
        let (_unused, _replaced) = {
            let mut table = self.lock();
            (table.make_room(self.most), table.insert(file.clone()))
        };
        Ok(file)
    }

    pub(super) fn close(&self, inode: u64) {
        let _closed = self.lock().files.remove(&inode);
    }

    pub(super) fn close_all(&self) {
        let _closed = std::mem::take(&mut self.lock().files);
    }

    /// A panic ends the process, so no lock is left by one.
    fn lock(&self) -> MutexGuard<'_, Table<F>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: FileSystem> Table<F> {
    fn get(&mut self, inode: u64, access: Access) -> Option<Arc<OpenFile<F>>> {
        self.now += 1;
        let (used, file) = self.files.get_mut(&inode)?;
        if access == Access::Write && file.access == Access::Read {
            return None;
        }
        *used = self.now;
        Some(file.clone())
    }

    /// One file of an inode is enough: one that can be written takes the place of one that can be read, which on some file systems
    /// is another file from then on.
    fn insert(&mut self, file: Arc<OpenFile<F>>) -> Option<(u64, Arc<OpenFile<F>>)> {
        self.files.insert(file.inode, (self.now, file))
    }

    /// Takes out the half that was not used for longest, if there is no room for one more.
    fn make_room(&mut self, most: usize) -> HashMap<u64, (u64, Arc<OpenFile<F>>)> {
        if self.files.len() < most {
            return HashMap::new();
        }
        let mut times: Vec<u64> = self.files.values().map(|(used, _)| *used).collect();
        let middle = times.len() / 2;
        let (_, &mut middle, _) = times.select_nth_unstable(middle);
        self.files.extract_if(|_, (used, _)| *used <= middle).collect()
    }
}
