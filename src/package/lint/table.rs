//! The linters: names, when they run, and what they advise.

use std::fmt;

use super::{
    binaries, duplicate, modes, names, places, python,
    subject::{Outcome, Subject},
};

/// A linter.
pub struct Linter {
    /// Its name on the command line and in build files.
    pub name: &'static str,
    /// When it runs if the command line does not say.
    pub default: Severity,
    /// What to do about its findings.
    pub explain: &'static str,
    pub(super) check: fn(&Subject<'_>) -> Option<Outcome>,
}

/// What a finding of a linter means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The build fails.
    Require,
    /// A warning.
    Warn,
    /// The linter does not run.
    Off,
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
    warn(
        "binaryarch",
        "This package contains binaries compiled for unsupported architectures (only aarch64/arm64 and amd64/x86_64 binaries \
         are supported)",
        binaries::binaryarch,
    ),
    warn(
        "cudaruntimelib",
        "CUDA driver-specific libraries should be passed into the container by the host. Installing them in an image could \
         override the host libraries and break GPU support. If this library is needed for build-time linking or ldd-check \
         tests, please use a package containing a stub library instead. For libcuda.so, use nvidia-cuda-cudart-$cuda_version. \
         For libnvidia-ml.so, use nvidia-cuda-nvml-dev-$cuda_version.",
        names::cudaruntimelib,
    ),
    require(
        "dev",
        "If this package is creating /dev nodes, it should use udev instead; otherwise, remove any files in /dev",
        places::dev,
    ),
    warn("dll", "This package contains Windows libraries", names::dll),
    off("documentation", DOCUMENTATION, names::documentation),
    warn(
        "duplicate",
        "This package contains files with the same name and content in different directories (consider symlinking)",
        duplicate::duplicate,
    ),
    warn("dylib", "This package contains macOS libraries", names::dylib),
    off(
        "empty",
        "Verify that this package is supposed to be empty; if it is, disable this linter; otherwise check the build",
        binaries::empty,
    ),
    require("infodir", "Remove /usr/share/info/dir from the package (run split/infodir)", places::infodir),
    warn(
        "lddcheck",
        "This package provides shared object files, please add the ldd-check test pipeline",
        names::lddcheck,
    ),
    require(
        "libtool/la-files",
        "Remove libtool archive (.la) files from the package, or disable this linter if they are required",
        names::la_files,
    ),
    warn("maninfo", DOCUMENTATION, names::maninfo),
    warn("nonlinux", "This package contains references to non-Linux paths", names::nonlinux),
    warn("object", "This package contains intermediate object files (.o files)", names::object),
    warn("opt", COMPAT, places::opt),
    warn(
        "pkgconf",
        "This package provides files in a pkgconfig directory, please add the pkgconf test pipeline",
        names::pkgconf,
    ),
    warn("python/docs", "Remove all docs directories from the package", python::docs),
    warn(
        "python/multiple",
        "Split this package up into multiple packages and verify you are not improperly using pip install",
        python::multiple,
    ),
    warn("python/test", "Remove all test directories from the package", python::test),
    warn("sbom", "Remove any files in /var/lib/db/sbom from the package", places::sbom),
    require(
        "setuidgid",
        "Unset the setuid/setgid bit on the relevant files, or remove this linter",
        modes::setuidgid,
    ),
    warn("srv", COMPAT, places::srv),
    warn("staticarchive", "This package contains static archives (.a files)", names::staticarchive),
    warn("strip", "Properly strip all binaries in the pipeline", binaries::strip),
    require(
        "tempdir",
        "Remove any offending files in temporary dirs in the pipeline, or add a /usr/lib/tmpfiles.d/ snippet in the case of \
         dirs under /run/",
        places::tempdir,
    ),
    warn(
        "unsupportedarch",
        "This package contains references to unsupported architectures (only aarch64/arm64 and amd64/x86_64 are supported)",
        names::unsupportedarch,
    ),
    warn("usrlocal", COMPAT, places::usrlocal),
    require("usrmerge", "Move binary to /usr/bin", places::usrmerge),
    require("varempty", "Remove any offending files in /var/empty in the pipeline", places::varempty),
    require(
        "worldwrite",
        "Change the permissions of any permissive files in the package, disable the linter, or make this a -compat package",
        modes::worldwrite,
    ),
];

type Check = fn(&Subject<'_>) -> Option<Outcome>;

const fn require(name: &'static str, explain: &'static str, check: Check) -> Linter {
    Linter { name, default: Severity::Require, explain, check }
}

const fn warn(name: &'static str, explain: &'static str, check: Check) -> Linter {
    Linter { name, default: Severity::Warn, explain, check }
}

const fn off(name: &'static str, explain: &'static str, check: Check) -> Linter {
    Linter { name, default: Severity::Off, explain, check }
}

/// The linter of a name.
pub fn find(name: &str) -> Option<&'static Linter> {
    LINTERS.iter().find(|linter| linter.name == name)
}
