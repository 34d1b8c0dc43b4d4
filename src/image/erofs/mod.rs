//! Images in the file system erofs, without compression. The layout is that of the kernel's `fs/erofs/erofs_fs.h`.
//!
//! ```text
//! Tree --layout--> where each inode and its data lie --write--> image file --read--> Inode, contents
//! ```

mod directory;
mod format;
mod layout;
mod read;
#[cfg(test)]
mod tests;
mod tree;
mod write;

pub(super) use self::{
    read::{Erofs, Inode},
    tree::{Content, Kind, Node, NodeId, Tree},
    write::write,
};
