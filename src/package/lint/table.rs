//! The linters: their names, and what they advise. Which of them run by default is a matter of the plan.

use std::fmt;

use super::{
    binaries, duplicate, modes, names, places, python,
    subject::{Outcome, Subject},
};

/// A linter.
pub struct Linter {
    /// Its name on the command line and in build files.
    pub name: &'static str,
    /// What to do about its findings.
    pub explain: &'static str,
    pub(super) check: fn(&Subject<'_>) -> Option<Outcome>,
}

impl fmt::Debug for Linter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Linter").field(&self.name).finish()
    }
}

impl PartialEq for Linter {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Linter {}

const COMPAT: &str = "This package should be a -compat package";
const DOCUMENTATION: &str = "Place documentation into a separate package or remove it";

/// All linters, sorted by name.
pub static LINTERS: [Linter; 30] = [
    linter(
        "binaryarch",
        "This package contains binaries compiled for unsupported architectures (only aarch64/arm64 and amd64/x86_64 binaries \
         are supported)",
        binaries::binaryarch,
    ),
    linter(
        "cudaruntimelib",
        "CUDA driver-specific libraries should be passed into the container by the host. Installing them in an image could \
         override the host libraries and break GPU support. If this library is needed for build-time linking or ldd-check \
         tests, please use a package containing a stub library instead. For libcuda.so, use nvidia-cuda-cudart-$cuda_version. \
         For libnvidia-ml.so, use nvidia-cuda-nvml-dev-$cuda_version.",
        names::cudaruntimelib,
    ),
    linter(
        "dev",
        "If this package is creating /dev nodes, it should use udev instead; otherwise, remove any files in /dev",
        places::dev,
    ),
    linter("dll", "This package contains Windows libraries", names::dll),
    linter("documentation", DOCUMENTATION, names::documentation),
    linter(
        "duplicate",
        "This package contains files with the same name and content in different directories (consider symlinking)",
        duplicate::duplicate,
    ),
    linter("dylib", "This package contains macOS libraries", names::dylib),
    linter(
        "empty",
        "Verify that this package is supposed to be empty; if it is, disable this linter; otherwise check the build",
        binaries::empty,
    ),
    linter("infodir", "Remove /usr/share/info/dir from the package (run split/infodir)", places::infodir),
    linter(
        "lddcheck",
        "This package provides shared object files, please add the ldd-check test pipeline",
        names::lddcheck,
    ),
    linter(
        "libtool/la-files",
        "Remove libtool archive (.la) files from the package, or disable this linter if they are required",
        names::la_files,
    ),
    linter("maninfo", DOCUMENTATION, names::maninfo),
    linter("nonlinux", "This package contains references to non-Linux paths", names::nonlinux),
    linter("object", "This package contains intermediate object files (.o files)", names::object),
    linter("opt", COMPAT, places::opt),
    linter(
        "pkgconf",
        "This package provides files in a pkgconfig directory, please add the pkgconf test pipeline",
        names::pkgconf,
    ),
    linter("python/docs", "Remove all docs directories from the package", python::docs),
    linter(
        "python/multiple",
        "Split this package up into multiple packages and verify you are not improperly using pip install",
        python::multiple,
    ),
    linter("python/test", "Remove all test directories from the package", python::test),
    linter("sbom", "Remove any files in /var/lib/db/sbom from the package", places::sbom),
    linter(
        "setuidgid",
        "Unset the setuid/setgid bit on the relevant files, or remove this linter",
        modes::setuidgid,
    ),
    linter("srv", COMPAT, places::srv),
    linter("staticarchive", "This package contains static archives (.a files)", names::staticarchive),
    linter("strip", "Properly strip all binaries in the pipeline", binaries::strip),
    linter(
        "tempdir",
        "Remove any offending files in temporary dirs in the pipeline, or add a /usr/lib/tmpfiles.d/ snippet in the case of \
         dirs under /run/",
        places::tempdir,
    ),
    linter(
        "unsupportedarch",
        "This package contains references to unsupported architectures (only aarch64/arm64 and amd64/x86_64 are supported)",
        names::unsupportedarch,
    ),
    linter("usrlocal", COMPAT, places::usrlocal),
    linter("usrmerge", "Move binary to /usr/bin", places::usrmerge),
    linter("varempty", "Remove any offending files in /var/empty in the pipeline", places::varempty),
    linter(
        "worldwrite",
        "Change the permissions of any permissive files in the package, disable the linter, or make this a -compat package",
        modes::worldwrite,
    ),
];

type Check = fn(&Subject<'_>) -> Option<Outcome>;

const fn linter(name: &'static str, explain: &'static str, check: Check) -> Linter {
    Linter { name, explain, check }
}

/// The linter of a name.
pub fn find(name: &str) -> Option<&'static Linter> {
    LINTERS.iter().find(|linter| linter.name == name)
}
