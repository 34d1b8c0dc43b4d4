//! Which kernel a guest boots: the one the environment names, the store's, or the host's own.
//!
//! Before it: `images/setup.sh` fetched one into the store. After it: [`super::initramfs`] packs its modules, QEMU boots
//! its vmlinux. A kernel that could not run a build is refused here, before anything starts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{key, modules::ModuleSet, vmlinux};
use crate::{
    env::Env,
    exit::Failure,
    files::{Durability, write_atomically},
    home::Home,
};

/// Names the kernel's image; melange has it, too.
pub const IMAGE_VARIABLE: &str = "QEMU_KERNEL_IMAGE";
/// Names the directory of its modules: `/lib/modules/VERSION`, or one that holds such directories.
pub const MODULES_VARIABLE: &str = "QEMU_KERNEL_MODULES";

const WAY_OUT: &str = "Fetch one with `images/setup.sh kernel`, or name one in QEMU_KERNEL_IMAGE and its modules \
                       in QEMU_KERNEL_MODULES.";

/// A kernel that can be booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Its release (`6.1.0-37-amd64`).
    pub version: String,
    /// The uncompressed ELF file with a PVH entry.
    pub vmlinux: PathBuf,
    /// Its modules.
    pub modules: ModuleSet,
}

/// The files of a kernel, before they are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Files {
    /// A bzImage or vmlinux.
    image: PathBuf,
    /// A directory with `modules.dep`, or one that has such directories.
    modules: PathBuf,
}

impl Kernel {
    /// Finds the kernel, unpacks it unless that was done before, and checks that it has the features of a build.
    pub fn find(home: &Home, env: &Env) -> Result<Self> {
        let files = match Files::from_environment(env)? {
            Some(files) => files,
            None => Files::from_store(home)?.or_else(Files::of_host).ok_or_else(|| {
                Failure::host(
                    "there is no kernel for the guest: none in the store, none of the host in /boot",
                    WAY_OUT,
                )
            })?,
        };
        files.open(home)
    }
}

impl Files {
    fn from_environment(env: &Env) -> Result<Option<Self>, Failure> {
        let Some(image) = env.path(IMAGE_VARIABLE) else {
            return match env.path(MODULES_VARIABLE) {
                Some(_) => Err(Failure::usage(
                    format!("{MODULES_VARIABLE} is set, {IMAGE_VARIABLE} is not"),
                    "Set both, or neither.",
                )),
                None => Ok(None),
            };
        };
        let modules = env.path(MODULES_VARIABLE).unwrap_or(Path::new("/lib/modules"));
        for (variable, path) in [(IMAGE_VARIABLE, image), (MODULES_VARIABLE, modules)] {
            fs::metadata(path).map_err(|error| {
                Failure::host(format!("{variable}: {}: {error}", path.display()), WAY_OUT)
            })?;
        }
        Ok(Some(Self { image: image.into(), modules: modules.into() }))
    }

    /// The newest of `kernels/VERSION/{vmlinuz,modules}`: newer ones use more queues of virtiofs, and the environment can name another.
    fn from_store(home: &Home) -> Result<Option<Self>> {
        let kernels = home.root().join("kernels");
        if !kernels.is_dir() {
            return Ok(None);
        }
        let entries = fs::read_dir(&kernels).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let newest = entries
            .with_context(|| format!("read {}", kernels.display()))?
            .into_iter()
            .map(|entry| entry.path())
            .filter(|path| path.join("vmlinuz").is_file())
            .max_by_key(|path| version_order(&path.file_name().unwrap_or_default().to_string_lossy()));
        Ok(newest.map(|path| Self { image: path.join("vmlinuz"), modules: path.join("modules") }))
    }

    /// The running kernel of the host, if its files are there.
    fn of_host() -> Option<Self> {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
        let release = release.trim();
        let image = PathBuf::from(format!("/boot/vmlinuz-{release}"));
        let modules = PathBuf::from(format!("/lib/modules/{release}"));
        (fs::File::open(&image).is_ok() && modules.join("modules.dep").is_file())
            .then_some(Self { image, modules })
    }

    fn open(self, home: &Home) -> Result<Kernel> {
        let Self { image, modules } = self;
        let (version, vmlinux) = unpacked(home, &image)?;
        let directory = [modules.join(&version), modules.clone()]
            .into_iter()
            .find(|directory| directory.join("modules.dep").is_file())
            .ok_or_else(|| {
                Failure::host(
                    format!("{} has no modules.dep for kernel {version}", modules.display()),
                    format!("Name the directory of its modules in {MODULES_VARIABLE}; depmod(8) writes modules.dep."),
                )
            })?;
        let (modules, lacking) = ModuleSet::read(&directory)?;
        if !lacking.is_empty() {
            return Err(Failure::host(
                format!("kernel {version} ({}) lacks {}", image.display(), lacking.join(", ")),
                WAY_OUT,
            )
            .into());
        }
        Ok(Kernel { version, vmlinux, modules })
    }
}

/// The release of a kernel image and its vmlinux, which is kept by the content of the image.
fn unpacked(home: &Home, image: &Path) -> Result<(String, PathBuf)> {
    let key = key::of_file(image, &home.dir("memos")?).map_err(|error| {
        Failure::host(format!("{error:#}"), "Make it readable, or name another in QEMU_KERNEL_IMAGE.")
    })?;
    let directory = home.dir("vmlinux")?;
    let vmlinux = directory.join(key.as_str());
    let release = directory.join(format!("{key}.release"));
    // The release is written last: where it is, both are.
    if let Ok(text) = fs::read_to_string(&release) {
        return Ok((text, vmlinux));
    }
    let unusable =
        |why: String| Failure::host(format!("kernel {} cannot be booted: {why}", image.display()), WAY_OUT);
    let bytes = fs::read(image).with_context(|| format!("read {}", image.display()))?;
    let elf = vmlinux::extract(&bytes).map_err(|error| unusable(format!("{error:#}")))?;
    let version = vmlinux::release(&bytes).ok_or_else(|| unusable("it does not say its release".into()))?;
    write_atomically(&vmlinux, &elf, Durability::Content)?;
    write_atomically(&release, version.as_bytes(), Durability::Content)?;
    Ok((version, vmlinux))
}

/// `6.1.0-37-amd64` as (6, 1, 0, 37): runs of digits compare as numbers.
fn version_order(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::{Code, code_of};

    fn find(home: &Path, variables: &[(&str, &str)]) -> Result<Kernel> {
        Kernel::find(&Home::at(home), &variables.iter().copied().collect())
    }

    #[test]
    fn a_kernel_that_is_named_and_missing_is_an_error_that_names_it() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let error = find(home.path(), &[(IMAGE_VARIABLE, "/no/vmlinuz")]).unwrap_err();
        assert_eq!(code_of(&error), Code::Host);
        assert!(error.to_string().starts_with("QEMU_KERNEL_IMAGE: /no/vmlinuz: No such file"), "{error}");
        let error = find(home.path(), &[(IMAGE_VARIABLE, "/proc/self/exe"), (MODULES_VARIABLE, "/no/m")])
            .unwrap_err();
        assert!(error.to_string().starts_with("QEMU_KERNEL_MODULES: /no/m: No such file"), "{error}");
        let error = find(home.path(), &[(MODULES_VARIABLE, "/proc")]).unwrap_err();
        assert_eq!(code_of(&error), Code::Usage);
    }

    #[test]
    fn a_file_that_is_not_a_kernel_is_refused_by_name() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let image = home.path().join("vmlinuz");
        fs::write(&image, "text").expect("written");
        let error = find(
            home.path(),
            &[(IMAGE_VARIABLE, image.to_str().expect("UTF-8")), (MODULES_VARIABLE, "/proc")],
        )
        .unwrap_err();
        assert_eq!(code_of(&error), Code::Host);
        assert!(error.to_string().contains("vmlinuz cannot be booted: neither a bzImage"), "{error}");
    }

    #[test]
    fn the_newest_of_the_store_is_taken() {
        let home = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(home.path().join("kernels/half")).expect("made");
        for (version, newest) in [
            ("6.1.0-9-amd64", "6.1.0-9-amd64"),
            ("6.1.0-37-amd64", "6.1.0-37-amd64"),
            ("5.15.0-119-generic", "6.1.0-37-amd64"),
            ("6.12.95+deb12-amd64", "6.12.95+deb12-amd64"),
            ("6.2.0-1-amd64", "6.12.95+deb12-amd64"),
        ] {
            let kernel = home.path().join("kernels").join(version);
            fs::create_dir_all(&kernel).expect("made");
            fs::write(kernel.join("vmlinuz"), "").expect("written");
            let files = Files::from_store(&Home::at(home.path())).expect("readable").expect("there are some");
            assert_eq!(files.image, home.path().join("kernels").join(newest).join("vmlinuz"));
        }
    }
}
