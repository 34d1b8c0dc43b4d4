//! Where the root, the kernel and the initramfs of a guest come from.
//!
//! ```text
//! --image TEXT --locate------> Source --ImageRecipe--> Store::ensure --> Image (erofs)      virtio-blk
//! environment, store, host ----------------------> Kernel::find ----> vmlinux, modules     -kernel
//! agent, modules --------------------------------> initramfs::ensure -> cpio               -initrd
//! ```
//!
//! All three are made once and kept in [`crate::home::Home`]. The module does not know the backend.

mod apk;
pub mod archive;
mod attempt;
mod builder;
pub mod cpio;
mod debian;
mod erofs;
mod exported;
mod extend;
mod import;
pub mod initramfs;
mod kept;
mod kernel;
mod key;
mod modules;
mod names;
mod record;
mod references;
mod repositories;
mod resolve_ref;
mod scratch;
mod scripts;
mod staging;
mod store;
mod strip_module;
mod tar_tree;
mod tree;
mod vmlinux;

pub use self::{
    apk::{ApkRequest, Downloads, PackageUsage, image_of_package},
    exported::export,
    import::Imported,
    kernel::{IMAGE_VARIABLE, Kernel, MODULES_VARIABLE},
    key::Key,
    modules::{Feature, Module, ModuleSet},
    names::Missing,
    record::Record,
    references::references,
    resolve_ref::locate,
    scratch::scratch_disk,
    store::{Image, Store},
    tree::Tree,
};
