//! Where the root, the kernel and the initramfs of a guest come from.
//!
//! ```text
//! --image TEXT --Reference--> Source --ImageRecipe--> Store::ensure --> Image (erofs)      virtio-blk
//! environment, store, host ----------------------> Kernel::find ----> vmlinux, modules     -kernel
//! agent, modules --------------------------------> initramfs::ensure -> cpio               -initrd
//! ```
//!
//! All three are made once and kept in [`crate::home::Home`]. Nothing here knows who boots them.

pub mod cpio;
mod debian;
pub mod initramfs;
mod kernel;
mod key;
mod making;
mod modules;
mod packages;
mod reference;
mod scratch;
mod store;
mod vmlinux;

pub use self::{
    kernel::{IMAGE_VARIABLE, Kernel, MODULES_VARIABLE},
    key::Key,
    modules::{Feature, Module, ModuleSet},
    packages::map_packages,
    reference::{ImageRecipe, Reference, Source},
    scratch::scratch_disk,
    store::{Image, Record, Store},
};
