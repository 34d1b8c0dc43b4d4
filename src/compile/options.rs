//! The options of a compilation, as the passes read them.

use std::collections::BTreeMap;

use super::{
    arch::{Arch, Libc},
    shell::SecondOpinion,
};
use crate::{ecosystem::Ecosystem, manifest::Map};

/// The options of a compilation.
#[derive(Clone)]
pub struct Options<'o> {
    /// The architecture.
    pub arch: Arch,
    /// The C library in the host triplets.
    pub libc: Libc,
    /// `--build-option`.
    pub build_options: Vec<String>,
    /// The variables of `--vars-file`.
    pub vars: Map,
    /// The variables of each `--env-file`, in order.
    pub env: Vec<BTreeMap<String, String>>,
    /// `--package-append`.
    pub packages: Vec<String>,
    /// `--cache-also`.
    pub cache_also: Vec<&'static Ecosystem>,
    /// The commit of the build file, for packages without one; may be empty.
    pub commit: String,
    /// Checks a script that the parser rejects.
    pub opinion: &'o dyn SecondOpinion,
}

impl Options<'_> {
    /// The defaults for an architecture.
    pub fn new(arch: Arch) -> Self {
        Self {
            arch,
            libc: Libc::default(),
            build_options: Vec::new(),
            vars: Map::new(),
            env: Vec::new(),
            packages: Vec::new(),
            cache_also: Vec::new(),
            commit: String::new(),
            opinion: &(),
        }
    }
}
