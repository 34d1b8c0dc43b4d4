//! Image references: the values of `--image`, and the recipe of a root that follows from one.
//!
//! Pure: `image::locate` looks at paths, between [`Reference::parse`] and [`ImageRecipe::new`]. The store of images makes
//! roots of recipes and keys them.

use std::{collections::HashMap, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::apk_root::{ApkKey, ApkPackage, ApkRoot};
use crate::exit::Failure;

/// The forms of `--image`: the way out of each error about it.
pub const FORMS: &str =
    "Give --image debian:SUITE[+package,package…], a directory, or a tar file (plain, gzip, xz, zstd).";

/// An image reference as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `debian:SUITE[+package,package…]`
    Debian {
        /// `bookworm`, `trixie`, …
        suite: String,
        /// Debian's names.
        packages: Vec<String>,
    },
    /// Anything else: a directory or a tar.
    Path(PathBuf),
}

/// The source of a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Installed from Debian's repositories.
    Debian(DebianRoot),
    /// The tree below a directory of the host.
    Directory(PathBuf),
    /// A tar archive, compressed or not.
    Tar(PathBuf),
    /// Composed of packages of apk's repositories.
    Apk(ApkRoot),
}

/// What apt installs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DebianRoot {
    /// `bookworm`, `trixie`, …
    pub suite: String,
    /// Debian's names; in a recipe sorted and unique.
    pub packages: Vec<String>,
    /// Lines of sources.list that begin with `deb `, in their order.
    pub repositories: Vec<String>,
}

/// Everything that determines the content of a root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Flat", into = "Flat")]
pub struct ImageRecipe {
    /// Its source.
    pub source: Source,
    /// Debian's name of the architecture (`amd64`).
    pub arch: String,
}

/// A recipe as plans, keys and the store's records have it.
#[derive(Serialize, Deserialize)]
struct Flat {
    source: FlatSource,
    packages: FlatPackages,
    repositories: Vec<String>,
    arch: String,
}

/// Debian's are chosen when the root is made; apk's are in the recipe.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum FlatPackages {
    Names(Vec<String>),
    Chosen(Vec<ApkPackage>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FlatSource {
    Debian { suite: String },
    Directory(PathBuf),
    Tar(PathBuf),
    Apk { keys: Vec<ApkKey> },
}

impl From<ImageRecipe> for Flat {
    fn from(ImageRecipe { source, arch }: ImageRecipe) -> Self {
        let (source, packages, repositories) = match source {
            Source::Debian(DebianRoot { suite, packages, repositories }) => {
                (FlatSource::Debian { suite }, FlatPackages::Names(packages), repositories)
            }
            Source::Directory(path) => {
                (FlatSource::Directory(path), FlatPackages::Names(Vec::new()), Vec::new())
            }
            Source::Tar(path) => (FlatSource::Tar(path), FlatPackages::Names(Vec::new()), Vec::new()),
            Source::Apk(ApkRoot { packages, repositories, keys }) => {
                (FlatSource::Apk { keys }, FlatPackages::Chosen(packages), repositories)
            }
        };
        Self { source, packages, repositories, arch }
    }
}

impl From<Flat> for ImageRecipe {
    fn from(Flat { source, packages, repositories, arch }: Flat) -> Self {
        let (names, chosen) = match packages {
            FlatPackages::Names(names) => (names, Vec::new()),
            FlatPackages::Chosen(chosen) => (Vec::new(), chosen),
        };
        let source = match source {
            FlatSource::Debian { suite } => {
                Source::Debian(DebianRoot { suite, packages: names, repositories })
            }
            FlatSource::Directory(path) => Source::Directory(path),
            FlatSource::Tar(path) => Source::Tar(path),
            FlatSource::Apk { keys } => Source::Apk(ApkRoot { packages: chosen, repositories, keys }),
        };
        Self { source, arch }
    }
}

impl Reference {
    /// Parses a reference. A relative path stays relative.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if text.is_empty() {
            return Err(Failure::usage("the image reference is empty", FORMS));
        }
        let Some(rest) = text.strip_prefix("debian:") else {
            return unsupported_scheme(text).map_or_else(|| Ok(Self::Path(text.into())), Err);
        };
        let (suite, packages) =
            rest.split_once('+').map_or((rest, None), |(suite, list)| (suite, Some(list)));
        let packages: Vec<String> =
            packages.into_iter().flat_map(|list| list.split(',')).map(String::from).collect();
        if !is_suite(suite) {
            return Err(Failure::usage(
                format!("{suite:?} in image {text:?} is not the name of a suite"),
                FORMS,
            ));
        }
        if let Some(bad) = packages.iter().find(|name| !is_debian_name(name)) {
            return Err(Failure::usage(
                format!("{bad:?} in image {text:?} is not the name of a package"),
                FORMS,
            ));
        }
        Ok(Self::Debian { suite: suite.into(), packages })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debian { suite, packages } if packages.is_empty() => write!(f, "debian:{suite}"),
            Self::Debian { suite, packages } => write!(f, "debian:{suite}+{}", packages.join(",")),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debian(DebianRoot { suite, packages, repositories: _ }) => {
                let list =
                    if packages.is_empty() { String::new() } else { format!("+{}", packages.join(",")) };
                write!(f, "debian:{suite}{list}")
            }
            Self::Directory(path) | Self::Tar(path) => write!(f, "{}", path.display()),
            Self::Apk(root) => root.fmt(f),
        }
    }
}

impl fmt::Display for ImageRecipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl ImageRecipe {
    /// A recipe in its normal form; `arch` is Debian's name.
    ///
    /// # Errors
    /// For names of packages and lines of repositories that are not Debian's.
    pub fn new(mut source: Source, arch: &str) -> Result<Self, Failure> {
        match &mut source {
            Source::Debian(DebianRoot { suite: _, packages, repositories }) => {
                packages.sort();
                packages.dedup();
                if let Some(bad) = packages.iter().find(|name| !is_debian_name(name)) {
                    return Err(Failure::host(
                        format!("{bad:?} is not the name of a Debian package"),
                        "Correct the name, or give a prepared root with --image.",
                    ));
                }
                check_repositories(repositories)?;
            }
            Source::Directory(_) | Source::Tar(_) | Source::Apk(_) => {}
        }
        Ok(Self { source, arch: arch.into() })
    }

    /// The packages of a root from apk repositories, as `name=version`, sorted. Empty for other roots, whose packages have other names.
    pub fn locked(&self) -> Vec<String> {
        match &self.source {
            Source::Apk(root) => root.locked(),
            Source::Debian(_) | Source::Directory(_) | Source::Tar(_) => Vec::new(),
        }
    }

    /// The versions of shared libraries that packages of a root from apk repositories provide, by the names of the libraries.
    pub fn library_versions(&self) -> HashMap<String, String> {
        match &self.source {
            Source::Apk(root) => root.library_versions(),
            Source::Debian(_) | Source::Directory(_) | Source::Tar(_) => HashMap::new(),
        }
    }

    /// The note on packages of the build file that are not installed in a prepared root.
    pub fn left_out(&self, requested: &[String]) -> Option<String> {
        match self.source {
            Source::Debian(_) | Source::Apk(_) => None,
            Source::Directory(_) | Source::Tar(_) if requested.is_empty() => None,
            Source::Directory(_) | Source::Tar(_) => {
                Some(format!("{} is used as it is; not installed: {}", self.source, requested.join(", ")))
            }
        }
    }
}

/// Accepts only lines of sources.list; all others are one error.
fn check_repositories(lines: &[String]) -> Result<(), Failure> {
    let bad: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .filter(|line| !line.starts_with("deb ") || line.contains(['\n', '\r', '\0']))
        .collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(Failure::host(
        format!("repositories that are not Debian's: {}", bad.join(", ")),
        "Only lines that begin with \"deb \" are understood; give a prepared root with --image.",
    ))
}

fn is_suite(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

/// deb-control(5): at least two of lower case letters, digits, `+`, `-`, `.`; the first is a letter or digit.
pub(crate) fn is_debian_name(name: &str) -> bool {
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
}

/// The failure for a form that is known and not supported.
pub fn unsupported(text: &str) -> Failure {
    Failure::host(format!("image {text:?}: OCI layouts and registry references are not supported yet"), FORMS)
}

/// The failure for a transport of containers/image; `oci:dir` is never a path.
fn unsupported_scheme(text: &str) -> Option<Failure> {
    ["oci:", "oci-archive:", "docker:", "docker-archive:", "docker-daemon:", "containers-storage:"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
        .then(|| unsupported(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Code;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    fn debian(packages: &[&str], repositories: &[&str]) -> Source {
        let (packages, repositories) = (strings(packages), strings(repositories));
        Source::Debian(DebianRoot { suite: "bookworm".into(), packages, repositories })
    }

    #[test]
    fn reads_debian_references() {
        for (text, suite, packages) in [
            ("debian:bookworm", "bookworm", vec![]),
            ("debian:trixie+gcc,make", "trixie", vec!["gcc", "make"]),
            ("debian:sid+g++,libstdc++-12-dev", "sid", vec!["g++", "libstdc++-12-dev"]),
        ] {
            let expected = Reference::Debian { suite: suite.into(), packages: strings(&packages) };
            assert_eq!(Reference::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_empty_names_and_options_of_apt() {
        for text in
            ["", "debian:", "debian:-x", "debian:a/b", "debian:sid+", "debian:sid+-o", "debian:sid+gcc,,make"]
        {
            assert_eq!(Reference::parse(text).unwrap_err().code, Code::Usage, "{text}");
        }
    }

    #[test]
    fn packages_of_a_recipe_are_sorted_and_unique() {
        let recipe = ImageRecipe::new(debian(&["make", "gcc", "make"], &[]), "amd64").expect("valid");
        assert_eq!(recipe.source, debian(&["gcc", "make"], &[]));
        assert_eq!(recipe.to_string(), "debian:bookworm+gcc,make");
    }

    #[test]
    fn recipes_are_written_as_the_records_of_older_stores_have_them() {
        for (source, written) in [
            (
                debian(&["gcc"], &["deb http://a b c"]),
                r#"{"source":{"debian":{"suite":"bookworm"}},"packages":["gcc"],"repositories":["deb http://a b c"],"arch":"amd64"}"#,
            ),
            (
                Source::Directory("/root".into()),
                r#"{"source":{"directory":"/root"},"packages":[],"repositories":[],"arch":"amd64"}"#,
            ),
            (
                Source::Tar("/r.tar".into()),
                r#"{"source":{"tar":"/r.tar"},"packages":[],"repositories":[],"arch":"amd64"}"#,
            ),
            (
                Source::Apk(ApkRoot {
                    packages: vec![ApkPackage {
                        name: "a".into(),
                        version: "1-r0".into(),
                        repository: "./packages".into(),
                        checksum: "Q1".into(),
                        size: 7,
                        tag: None,
                        versioned_libraries: Vec::new(),
                    }],
                    repositories: strings(&["./packages"]),
                    keys: vec![ApkKey { name: "k.rsa.pub".into(), pem: "x".into() }],
                }),
                r#"{"source":{"apk":{"keys":[{"name":"k.rsa.pub","pem":"x"}]}},"packages":[{"name":"a","version":"1-r0","repository":"./packages","checksum":"Q1","size":7}],"repositories":["./packages"],"arch":"amd64"}"#,
            ),
        ] {
            let recipe = ImageRecipe::new(source, "amd64").expect("valid");
            assert_eq!(serde_json::to_string(&recipe).expect("it can be written"), written);
            assert_eq!(serde_json::from_str::<ImageRecipe>(written).expect("it can be read"), recipe);
        }
    }

    #[test]
    fn repositories_that_are_not_debians_are_one_error() {
        let lines = ["deb http://a b c", "https://packages.example/os", "@local ./packages"];
        let failure = ImageRecipe::new(debian(&[], &lines), "amd64").unwrap_err();
        assert_eq!(failure.code, Code::Host);
        assert!(failure.what.ends_with("https://packages.example/os, @local ./packages"), "{failure}");
        assert!(failure.way_out.contains("--image"));
    }

    #[test]
    fn a_prepared_root_takes_no_packages_and_reports_them() {
        let packages = strings(&["gcc"]);
        let recipe = ImageRecipe::new(Source::Tar("/r.tar".into()), "amd64").expect("valid");
        assert_eq!(
            recipe.left_out(&packages).as_deref(),
            Some("/r.tar is used as it is; not installed: gcc")
        );
        assert_eq!(recipe.left_out(&[]), None);
    }
}
