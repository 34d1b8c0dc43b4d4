//! What build files say of dependencies, and what the guest has.

use std::collections::HashMap;

/// What a build file says of one package: `dependencies` and `options`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// `dependencies.runtime`.
    pub runtime: Vec<String>,
    /// `dependencies.provides`.
    pub provides: Vec<String>,
    /// `options`.
    pub options: Options,
}

/// `options` of a package: what is not generated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// `no-commands`: neither provides nor depends of commands.
    pub no_commands: bool,
    /// `no-depends`: no depends at all.
    pub no_depends: bool,
    /// `no-provides`: no provides at all.
    pub no_provides: bool,
    /// `no-versioned-shlib-deps`: no versions of shared libraries in depends.
    pub no_versioned_shlib_deps: bool,
}

/// For `MELANGE_VERSIONED_SHLIB_DEPENDS`: for the name of each shared library with a versioned provide (`so-ver:`) in the guest, the
/// version of the installed package that provides it.
pub type LibraryVersions = HashMap<String, String>;
