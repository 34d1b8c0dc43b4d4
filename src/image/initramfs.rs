//! The initramfs: the agent, the modules of its channel to the host, and the modules that the host may name later.
//!
//! Before it: [`super::kernel`]. After it: `-initrd`. Uncompressed, since unpacking costs a guest without KVM more than
//! reading; made once for an agent and a set of modules, then kept.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use kiln_protocol::{BOOT_FILE, BootFile};
use sha2::{Digest, Sha256};

use super::{
    cpio::Archive,
    key::Key,
    modules::{Feature, Module, ModuleSet},
    strip_module::slim,
};
use crate::{
    files::{Durability, write_atomically},
    home,
};

/// Part of the key: to be raised when the layout of the archive changes.
const LAYOUT: &[u8] = b"kiln initramfs 4";

/// How many are kept: one for each kernel and version of kiln in use, and one for their templates.
const MOST: usize = 16;

/// How their names end.
const ENDING: &str = "cpio";

/// What the agent loads before it greets the host, and what else the kernel finds.
#[derive(Debug, Clone, Copy)]
pub enum Startup<'a> {
    /// The modules of the channel.
    Channel,
    /// All modules; and a file that the kernel looks for, with its path (a template).
    AllModules {
        /// Where the kernel looks for it.
        path: &'a str,
        /// Its content.
        content: &'a [u8],
    },
}

/// The initramfs for `agent` (the bytes of the static program) and the modules of `features`, which it can load from
/// [`Module::guest_path`]; those of `startup` it loads by itself. Kept below `directory`.
pub fn ensure(
    directory: &Path,
    agent: &[u8],
    modules: &ModuleSet,
    features: &[Feature],
    startup: Startup<'_>,
) -> Result<PathBuf> {
    let modules = Contents::new(modules, features, startup);
    let path = modules.path(directory, agent)?;
    if path.exists() {
        home::used(&path);
        return Ok(path);
    }
    let archive = pack(agent, &modules)?;
    write_atomically(&path, &archive, Durability::Content)?;
    home::bound(directory, MOST, |path| path.extension().is_some_and(|ending| ending == ENDING))?;
    Ok(path)
}

/// Where [`ensure`] keeps the initramfs of the same arguments, whether it is there or not.
pub fn path(
    directory: &Path,
    agent: &[u8],
    modules: &ModuleSet,
    features: &[Feature],
    startup: Startup<'_>,
) -> Result<PathBuf> {
    Contents::new(modules, features, startup).path(directory, agent)
}

struct Contents<'a> {
    channel: Vec<&'a Module>,
    all: Vec<&'a Module>,
    startup: Startup<'a>,
}

impl<'a> Contents<'a> {
    fn new(modules: &'a ModuleSet, features: &[Feature], startup: Startup<'a>) -> Self {
        Self {
            channel: modules.load_order(&[Feature::Channel]),
            all: modules.load_order(&[&[Feature::Channel], features].concat()),
            startup,
        }
    }

    fn path(&self, directory: &Path, agent: &[u8]) -> Result<PathBuf> {
        Ok(directory.join(format!("{}.{ENDING}", key(agent, &self.all, self.startup)?)))
    }
}

/// By the agent's bytes and each module's name, inode, size and time: reading the modules would cost every start, and a
/// home may be reached by several paths.
fn key(agent: &[u8], modules: &[&Module], startup: Startup<'_>) -> Result<Key> {
    let mut hash = Sha256::new();
    hash.update(LAYOUT);
    hash.update(Sha256::digest(agent));
    match startup {
        Startup::Channel => hash.update("channel\0"),
        Startup::AllModules { path, content } => {
            hash.update(format!("all modules\0{path}\0"));
            hash.update(Sha256::digest(content));
        }
    }
    for module in modules {
        let at = || format!("look at module {}", module.file.display());
        let metadata = fs::metadata(&module.file).with_context(at)?;
        let (size, time, nanos) = (metadata.size(), metadata.mtime(), metadata.mtime_nsec());
        let (device, inode) = (metadata.dev(), metadata.ino());
        hash.update(format!("{}\0{device}:{inode}\0{size}\0{time}\0{nanos}\0", module.name));
    }
    Ok(Key::from(hash))
}

fn pack(agent: &[u8], modules: &Contents<'_>) -> Result<Vec<u8>> {
    let early = match modules.startup {
        Startup::Channel => &modules.channel,
        Startup::AllModules { .. } => &modules.all,
    };
    let boot = BootFile { modules: early.iter().map(|module| module.guest_path()).collect() };
    let boot = postcard::to_stdvec(&boot).context("encode the boot file")?;
    let mut archive = Archive::default();
    if let Startup::AllModules { path, content } = modules.startup {
        archive.file(path, 0o644, content);
    }
    archive.directory("/dev");
    // The kernel opens it as descriptors 0 to 2 of /init before anything is mounted.
    archive.character_device("/dev/console", 5, 1);
    // Where there is no console yet, the agent's runtime puts this in place of the missing descriptors, or aborts.
    archive.character_device("/dev/null", 1, 3);
    archive.file("/init", 0o755, agent);
    archive.file(BOOT_FILE, 0o644, &boot);
    archive.directory("/lib");
    archive.directory("/lib/modules");
    for module in &modules.all {
        archive.file(&module.guest_path(), 0o644, &slim(module.read()?));
    }
    Ok(archive.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five modules, two of which make the channel.
    fn modules(directory: &Path) -> ModuleSet {
        let dep = "a/virtio.ko:\na/virtio_mmio.ko: a/virtio.ko\na/virtio_console.ko: a/virtio.ko\n\
                   a/virtio_blk.ko: a/virtio.ko\na/overlay.ko:\n";
        fs::create_dir_all(directory.join("a")).expect("made");
        for name in ["virtio", "virtio_mmio", "virtio_console", "virtio_blk", "overlay"] {
            fs::write(directory.join(format!("a/{name}.ko")), format!("\x7fELF {name}")).expect("written");
        }
        fs::write(directory.join("modules.dep"), dep).expect("written");
        fs::write(directory.join("modules.builtin"), "").expect("written");
        ModuleSet::read(directory).expect("complete").0
    }

    fn position(archive: &[u8], what: &[u8]) -> Option<usize> {
        archive.windows(what.len()).position(|window| window == what)
    }

    #[test]
    fn holds_the_agent_the_boot_file_and_the_modules_asked_for() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let set = modules(directory.path());
        let path =
            ensure(directory.path(), b"the agent", &set, &[Feature::Block], Startup::Channel).expect("made");
        let archive = fs::read(path).expect("readable");
        for name in ["virtio", "virtio_mmio", "virtio_console", "virtio_blk"] {
            let header = format!("lib/modules/{name}.ko\0");
            assert!(position(&archive, header.as_bytes()).is_some(), "{name}");
        }
        assert_eq!(position(&archive, b"lib/modules/overlay.ko\0"), None);
        assert!(position(&archive, b"the agent").is_some());
        let paths = ["virtio", "virtio_mmio", "virtio_console"].map(|name| format!("/lib/modules/{name}.ko"));
        let boot = postcard::to_stdvec(&BootFile { modules: paths.into() }).expect("encoded");
        assert!(position(&archive, &boot).is_some());
    }

    #[test]
    fn is_made_once_and_anew_when_agent_or_module_changes() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let set = modules(directory.path());
        let first =
            ensure(directory.path(), b"agent", &set, &[Feature::Block], Startup::Channel).expect("made");
        let inode = fs::metadata(&first).expect("there").ino();
        assert_eq!(
            ensure(directory.path(), b"agent", &set, &[Feature::Block], Startup::Channel).expect("made"),
            first
        );
        assert_eq!(fs::metadata(&first).expect("there").ino(), inode);
        assert_ne!(
            ensure(directory.path(), b"other", &set, &[Feature::Block], Startup::Channel).expect("made"),
            first
        );
        fs::write(directory.path().join("a/virtio_blk.ko"), "\x7fELF longer than before").expect("written");
        assert_ne!(
            ensure(directory.path(), b"agent", &set, &[Feature::Block], Startup::Channel).expect("made"),
            first
        );
    }
}
