//! The options of packages: what `kiln build` writes besides the files of a package, and what it checks of them.

use std::path::PathBuf;

use clap::ValueEnum;
use serde::Serialize;

/// The namespace of packages without `--namespace`.
pub const UNKNOWN_NAMESPACE: &str = "unknown";
/// The licence of a build file without `--license`, as SPDX says that nothing is known.
pub const NO_ASSERTION: &str = "NOASSERTION";

/// The linters whose findings fail a build without `--lint-require`.
pub const REQUIRED_LINTERS: [&str; 8] =
    ["dev", "infodir", "libtool/la-files", "setuidgid", "tempdir", "usrmerge", "varempty", "worldwrite"];

/// The linters whose findings are warnings without `--lint-warn`.
pub const WARNING_LINTERS: [&str; 20] = [
    "binaryarch",
    "cudaruntimelib",
    "dll",
    "duplicate",
    "dylib",
    "lddcheck",
    "maninfo",
    "nonlinux",
    "object",
    "opt",
    "pkgconf",
    "python/docs",
    "python/multiple",
    "python/test",
    "sbom",
    "srv",
    "staticarchive",
    "strip",
    "unsupportedarch",
    "usrlocal",
];

/// The linters that run only where they are named.
pub const OPTIONAL_LINTERS: [&str; 2] = ["documentation", "empty"];

/// The form of a package: `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum PackageFormat {
    /// A package of apk, with its metadata.
    #[default]
    Apk,
    /// A plain archive of the files, without metadata.
    #[value(name = "tar.zst")]
    #[serde(rename = "tar.zst")]
    TarZst,
}

/// Whether something optional is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Make {
    /// It is made.
    Yes,
    /// It is left out.
    No,
}

impl From<bool> for Make {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

impl Make {
    /// Whether it is made.
    pub fn is_yes(self) -> bool {
        self == Self::Yes
    }
}

/// The name that packages give as their origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OriginName {
    /// The name of the main package.
    #[default]
    Main,
    /// Each package its own name: `--strip-origin-name`.
    Own,
}

/// The options of packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackagingOptions {
    /// `--format`.
    pub format: PackageFormat,
    /// `--signing-key`, absolute: the file of a private RSA key. Only its path is known here.
    pub signing_key: Option<PathBuf>,
    /// `--generate-index`.
    pub index: Make,
    /// `--generate-provenance`.
    pub provenance: Make,
    /// `--lint-require`: names of linters.
    pub lint_require: Vec<String>,
    /// `--lint-warn`: names of linters.
    pub lint_warn: Vec<String>,
    /// `--persist-lint-results`.
    pub lint_results: Make,
    /// `--namespace`.
    pub namespace: String,
    /// `--license`: the licence of the build file.
    pub license: String,
    /// `--git-commit`, or the commit of the build file's repository; `None` where neither is known.
    pub git_commit: Option<String>,
    /// `--git-repo-url`.
    pub git_repo_url: Option<String>,
    /// `--strip-origin-name`.
    pub origin: OriginName,
    /// `--dependency-log`, absolute, without the architecture at its end.
    pub dependency_log: Option<PathBuf>,
    /// `--create-build-log`: the file, absolute.
    pub build_log: Option<PathBuf>,
    /// `MELANGE_VERSIONED_SHLIB_DEPENDS`: dependencies on the versions of shared libraries.
    pub library_versions: Make,
}

impl PackagingOptions {
    /// Whether packages are listed in an index.
    pub fn has_index(&self) -> bool {
        self.format == PackageFormat::Apk && self.index.is_yes()
    }
}

impl Default for PackagingOptions {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            format: PackageFormat::default(),
            signing_key: None,
            index: Make::Yes,
            provenance: Make::No,
            lint_require: names(&REQUIRED_LINTERS),
            lint_warn: names(&WARNING_LINTERS),
            lint_results: Make::No,
            namespace: UNKNOWN_NAMESPACE.into(),
            license: NO_ASSERTION.into(),
            git_commit: None,
            git_repo_url: None,
            origin: OriginName::Main,
            dependency_log: None,
            build_log: None,
            library_versions: Make::No,
        }
    }
}
