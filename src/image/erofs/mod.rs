//! Images in the file system erofs, without compression. The layout is that of the kernel's `fs/erofs/erofs_fs.h`.

mod read;

pub(super) use self::read::{Erofs, Inode};
