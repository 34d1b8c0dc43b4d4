//! Kernel modules: those that a guest needs, and the order in which they load.
//!
//! Read from the files that `depmod` writes (`modules.dep`, `modules.builtin`, `modules.softdep`). Before it:
//! [`super::kernel`] found the directory. After it: [`super::initramfs`] packs the files, the agent loads them in this
//! order. The guest has no modprobe: modules that the kernel would request from it must be in the order already.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// Something that the guest's kernel must be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// virtio-mmio (microvm), and the port to the agent.
    Channel,
    /// Virtio devices on PCI (q35, aarch64's virt).
    Pci,
    /// Disks.
    Block,
    /// The image.
    Erofs,
    /// The root, source and cache above read-only layers.
    Overlay,
    /// The scratch disk.
    Ext4,
    /// The network card.
    Net,
    /// Randomness from the host.
    Rng,
    /// Shares by 9p.
    NineP,
    /// Shares by virtiofs.
    Virtiofs,
}

/// Whether a guest can do without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Required,
    Optional,
}

/// Each feature: its name in messages, whether a kernel without it is refused, the modules it needs.
const FEATURES: &[(Feature, &str, Need, &[&str])] = &[
    (Feature::Channel, "virtio_mmio and virtio_console", Need::Required, &["virtio_mmio", "virtio_console"]),
    (Feature::Pci, "virtio_pci", Need::Optional, &["virtio_pci"]),
    (Feature::Block, "virtio_blk", Need::Required, &["virtio_blk"]),
    (Feature::Erofs, "erofs", Need::Required, &["erofs"]),
    (Feature::Overlay, "overlay", Need::Required, &["overlay"]),
    (Feature::Ext4, "ext4", Need::Required, &["ext4"]),
    (Feature::Net, "virtio_net", Need::Optional, &["virtio_net"]),
    (Feature::Rng, "virtio-rng", Need::Optional, &["virtio_rng"]),
    (Feature::NineP, "9p (9p, 9pnet_virtio)", Need::Required, &["9p", "9pnet_virtio"]),
    (Feature::Virtiofs, "virtiofs", Need::Required, &["virtiofs"]),
];

/// An algorithm that a module requests from the kernel's crypto API while it loads or mounts, and the module that has it; loaded
/// before, where the kernel has it as a module. (`modules.softdep` names the alias `crc32c`, or nothing at all.)
const IMPLICIT: &[(&str, &str)] =
    &[("libcrc32c", "crc32c_generic"), ("erofs", "crc32c_generic"), ("ext4", "crc32c_generic")];

/// A module as a file on the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Module {
    /// As the kernel spells it: with underscores.
    pub name: String,
    /// `.ko`, `.ko.xz`, `.ko.zst` or `.ko.gz`.
    pub file: PathBuf,
}

impl Module {
    /// Its path in the initramfs, unpacked.
    pub fn guest_path(&self) -> String {
        format!("/lib/modules/{}.ko", self.name)
    }

    /// The uncompressed module.
    pub fn read(&self) -> Result<Vec<u8>> {
        let file = fs::read(&self.file).with_context(|| format!("read module {}", self.file.display()))?;
        unpack(file).with_context(|| format!("unpack module {}", self.file.display()))
    }
}

/// The modules of one kernel, for each feature in an order that loads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModuleSet {
    features: BTreeMap<Feature, Vec<Module>>,
}

impl ModuleSet {
    /// Reads a directory that holds `modules.dep`. The second value has the required features that the kernel lacks.
    pub fn read(directory: &Path) -> Result<(Self, Vec<&'static str>)> {
        let text = |name: &str| {
            let path = directory.join(name);
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        };
        // A kernel without modules of its own has no softdep file worth naming; dep and builtin always exist.
        let softdep = text("modules.softdep").unwrap_or_default();
        Ok(Self::resolve(directory, &text("modules.dep")?, &text("modules.builtin")?, &softdep))
    }

    /// The pure part of [`ModuleSet::read`].
    fn resolve(directory: &Path, dep: &str, builtin: &str, softdep: &str) -> (Self, Vec<&'static str>) {
        let index = Index::new(dep, builtin, softdep);
        let mut set = Self::default();
        let mut lacking = Vec::new();
        for (feature, label, need, wanted) in FEATURES {
            if !wanted.iter().all(|name| index.has(name)) {
                if *need == Need::Required {
                    lacking.push(*label);
                }
                continue;
            }
            let mut order = Vec::new();
            wanted.iter().for_each(|name| index.visit(name, &mut BTreeSet::new(), &mut order));
            let modules = order
                .iter()
                .filter_map(|name| {
                    Some(Module { name: name.clone(), file: directory.join(index.files.get(name)?) })
                })
                .collect();
            set.features.insert(*feature, modules);
        }
        (set, lacking)
    }

    /// Whether the kernel can do it, built in or by modules.
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains_key(&feature)
    }

    /// The modules to load for these features, in order, each once, without those that are built in.
    pub fn load_order(&self, features: &[Feature]) -> Vec<&Module> {
        let mut seen = BTreeSet::new();
        features
            .iter()
            .filter_map(|feature| self.features.get(feature))
            .flatten()
            .filter(|m| seen.insert(*m))
            .collect()
    }
}

/// depmod's files, by name of module.
struct Index<'a> {
    /// Path below the directory.
    files: BTreeMap<String, &'a str>,
    /// The modules that must be loaded before, in order.
    needs: BTreeMap<String, Vec<String>>,
    builtin: BTreeSet<String>,
}

impl<'a> Index<'a> {
    fn new(dep: &'a str, builtin: &str, softdep: &str) -> Self {
        let mut files = BTreeMap::new();
        let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (file, before) in dep.lines().filter_map(|line| line.split_once(':')) {
            let name = module_name(file);
            // depmod writes the deepest dependency last.
            needs.insert(name.clone(), before.split_whitespace().rev().map(module_name).collect());
            files.insert(name, file);
        }
        let implicit = IMPLICIT.iter().map(|(name, before)| (name.to_string(), before.to_string()));
        for (name, before) in implicit.chain(pre_softdeps(softdep)) {
            if files.contains_key(&before) {
                needs.entry(name).or_default().insert(0, before);
            }
        }
        Self { files, needs, builtin: builtin.lines().map(module_name).collect() }
    }

    fn has(&self, name: &str) -> bool {
        self.builtin.contains(name) || self.files.contains_key(name)
    }

    /// Depth first: everything a module needs goes before it. `open` guards against a cycle among soft dependencies.
    fn visit(&self, name: &str, open: &mut BTreeSet<String>, order: &mut Vec<String>) {
        if self.builtin.contains(name)
            || order.iter().any(|done| done == name)
            || !open.insert(name.to_owned())
        {
            return;
        }
        for before in self.needs.get(name).into_iter().flatten() {
            self.visit(before, open, order);
        }
        order.push(name.to_owned());
    }
}

/// The `pre:` part of each line `softdep NAME pre: A B post: C`.
fn pre_softdeps(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    text.lines().flat_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word == "softdep");
        let name = words.next().unwrap_or_default().replace('-', "_");
        let before = words.skip_while(|word| *word != "pre:").skip(1).take_while(|word| !word.ends_with(':'));
        before.map(move |before| (name.clone(), before.replace('-', "_"))).collect::<Vec<_>>()
    })
}

/// `kernel/drivers/char/hw_random/virtio-rng.ko.xz` is `virtio_rng`.
fn module_name(path: &str) -> String {
    let file = path.trim().rsplit('/').next().unwrap_or_default();
    file.split_once(".ko").map_or(file, |(name, _)| name).replace('-', "_")
}

/// By magic: an ELF file is taken as it is.
fn unpack(file: Vec<u8>) -> Result<Vec<u8>> {
    /// No module is larger; debug sections included.
    const LIMIT: u64 = 256 << 20;
    let reader: Box<dyn Read + '_> = match file.as_slice() {
        [0x7f, b'E', b'L', b'F', ..] => return Ok(file),
        [0x1f, 0x8b, ..] => Box::new(flate2::read::GzDecoder::new(file.as_slice())),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Box::new(liblzma::read::XzDecoder::new(file.as_slice())),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(file.as_slice())?),
        _ => anyhow::bail!("neither an ELF file nor compressed with gzip, xz or zstd"),
    };
    let mut module = Vec::new();
    reader.take(LIMIT).read_to_end(&mut module)?;
    ensure!(module.starts_with(b"\x7fELF"), "its uncompressed content is not an ELF file");
    Ok(module)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Debian 12's, shortened.
    const DEP: &str = "\
kernel/drivers/virtio/virtio_mmio.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/char/virtio_console.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/char/hw_random/virtio-rng.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/fs/overlayfs/overlay.ko:
kernel/fs/erofs/erofs.ko: kernel/lib/libcrc32c.ko
kernel/lib/libcrc32c.ko:
kernel/crypto/crc32c_generic.ko:
kernel/fs/jbd2/jbd2.ko:
kernel/fs/mbcache.ko:
kernel/lib/crc16.ko:
kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko
kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko kernel/fs/fscache/fscache.ko kernel/fs/netfs/netfs.ko
kernel/fs/fscache/fscache.ko: kernel/fs/netfs/netfs.ko
kernel/fs/netfs/netfs.ko:
kernel/net/9p/9pnet.ko:
kernel/net/9p/9pnet_virtio.ko: kernel/net/9p/9pnet.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
";

    fn set(dep: &str, builtin: &str, softdep: &str) -> (ModuleSet, Vec<&'static str>) {
        ModuleSet::resolve(Path::new("/m"), dep, builtin, softdep)
    }

    fn names(set: &ModuleSet, features: &[Feature]) -> String {
        set.load_order(features).iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_module_comes_after_what_it_needs_and_once() {
        let (set, lacking) = set(DEP, "kernel/fs/fuse/virtiofs.ko\n", "");
        assert_eq!(lacking, Vec::<&str>::new());
        assert_eq!(names(&set, &[Feature::Channel]), "virtio_ring virtio virtio_mmio virtio_console");
        assert_eq!(names(&set, &[Feature::NineP]), "netfs fscache 9pnet 9p virtio_ring virtio 9pnet_virtio");
        assert_eq!(
            names(&set, &[Feature::Channel, Feature::Block, Feature::Erofs, Feature::Rng, Feature::Ext4]),
            "virtio_ring virtio virtio_mmio virtio_console virtio_blk crc32c_generic libcrc32c erofs virtio_rng \
             jbd2 mbcache crc16 ext4"
        );
    }

    #[test]
    fn a_module_that_is_built_in_is_not_loaded() {
        let (set, _) =
            set(DEP, "kernel/drivers/virtio/virtio.ko\nkernel/drivers/virtio/virtio_ring.ko\n", "");
        assert_eq!(names(&set, &[Feature::Channel]), "virtio_mmio virtio_console");
        assert!(!set.has(Feature::Virtiofs));
    }

    #[test]
    fn soft_dependencies_come_before_even_in_a_circle() {
        let softdep =
            "# Soft dependencies\nsoftdep erofs pre: crc16 absent post: overlay\nsoftdep crc16 pre: erofs\n";
        let (set, _) = set(DEP, "", softdep);
        assert_eq!(names(&set, &[Feature::Erofs]), "crc16 crc32c_generic libcrc32c erofs");
    }

    #[test]
    fn all_missing_features_of_a_kernel_are_named() {
        let cloud: String = DEP
            .lines()
            .filter(|line| !line.contains("9p") && !line.contains("overlay.ko:"))
            .fold(String::new(), |mut text, line| {
                text.push_str(line);
                text.push('\n');
                text
            });
        let (_, lacking) = set(&cloud, "", "");
        assert_eq!(lacking, ["overlay", "9p (9p, 9pnet_virtio)", "virtiofs"]);
    }

    #[test]
    fn names_are_spelled_as_the_kernel_spells_them() {
        assert_eq!(module_name("kernel/drivers/char/hw_random/virtio-rng.ko.xz"), "virtio_rng");
        let module = Module { name: "9p".into(), file: "/x".into() };
        assert_eq!(module.guest_path(), "/lib/modules/9p.ko");
    }

    #[test]
    fn modules_are_unpacked_by_magic() {
        let module = b"\x7fELF and more".to_vec();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&module).expect("in memory");
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
        xz.write_all(&module).expect("in memory");
        for packed in [
            module.clone(),
            gzip.finish().expect("in memory"),
            xz.finish().expect("in memory"),
            zstd::encode_all(module.as_slice(), 1).expect("in memory"),
        ] {
            assert_eq!(unpack(packed).expect("valid"), module);
        }
        assert!(unpack(b"text".to_vec()).is_err());
    }
}
