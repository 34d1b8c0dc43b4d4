//! Where the root, the kernel and the initramfs of a guest come from.
//!
//! ```text
//! --image TEXT --locate------> Source --ImageRecipe--> Store::ensure --> Image (erofs)      virtio-blk
//! environment, store, host ----------------------> Kernel::find ----> vmlinux, modules     -kernel
//! agent, modules --------------------------------> initramfs::ensure -> cpio               -initrd
//! ```
//!
//! All three are made once and kept in [`crate::home::Home`]. Nothing here knows who boots them.

pub mod archive;
pub mod cpio;
mod debian;
mod erofs;
pub mod initramfs;
mod kernel;
mod key;
mod locate;
mod making;
mod modules;
mod names;
mod references;
mod scratch;
mod scripts;
mod slim;
mod staging;
mod store;
mod tree;
mod vmlinux;

pub use self::{
    kernel::{IMAGE_VARIABLE, Kernel, MODULES_VARIABLE},
    key::Key,
    locate::locate,
    modules::{Feature, Module, ModuleSet},
    names::Missing,
    references::references,
    scratch::scratch_disk,
    store::{Image, Record, Store},
    tree::Tree,
};
