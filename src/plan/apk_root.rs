//! A root from apk repositories: the packages that were chosen for it, each by its checksum.
//!
//! Before it: the resolver, in `image`. After it: the store of images, which keys and composes such a root.

use std::{collections::HashMap, fmt};

use serde::{Deserialize, Serialize};

/// What apk's repositories give.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApkRoot {
    /// The packages, in the order of their installation.
    pub packages: Vec<ApkPackage>,
    /// The lines of the repositories, without passwords.
    pub repositories: Vec<String>,
    /// The public keys that the guest's apk trusts.
    pub keys: Vec<ApkKey>,
}

/// A package that was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApkPackage {
    /// Its name.
    pub name: String,
    /// Its version with its release.
    pub version: String,
    /// The URL or directory of its repository, without a password.
    pub repository: String,
    /// The checksum of its control section, which has that of its data: `Q1` and the base64 of a SHA-1.
    pub checksum: String,
    /// The size of the package file in bytes.
    pub size: u64,
    /// The tag of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The names of the shared libraries that it provides with its version (`so-ver:`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versioned_libraries: Vec<String>,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApkKey {
    /// The name of its file.
    pub name: String,
    /// Its text.
    pub pem: String,
}

impl ApkPackage {
    /// Whether its name and version can stand in the name of a file.
    pub fn is_valid(&self) -> bool {
        let is_name = |text: &String| {
            !text.is_empty()
                && !text.starts_with('.')
                && !text.contains('/')
                && !text.contains(char::is_control)
        };
        is_name(&self.name) && is_name(&self.version)
    }

    /// As a locked list of packages has it: `name=version`, and the tag if there is one.
    pub fn locked(&self) -> String {
        let tag = self.tag.as_ref().map_or(String::new(), |tag| format!("@{tag}"));
        format!("{}={}{tag}", self.name, self.version)
    }
}

impl ApkRoot {
    /// The locked list: what `environment.contents.packages` in a package's `.melange.yaml` says, sorted.
    pub fn locked(&self) -> Vec<String> {
        let mut locked: Vec<String> = self.packages.iter().map(ApkPackage::locked).collect();
        locked.sort();
        locked
    }

    /// The versions of the packages that provide shared libraries with a version, by the names of the libraries.
    pub fn library_versions(&self) -> HashMap<String, String> {
        let of = |package: &ApkPackage| {
            let version = package.version.clone();
            package.versioned_libraries.clone().into_iter().map(move |name| (name, version.clone()))
        };
        self.packages.iter().flat_map(of).collect()
    }

    /// How many bytes the packages have.
    pub fn bytes(&self) -> u64 {
        // Sizes are what an index says.
        self.packages.iter().fold(0, |sum, package| sum.saturating_add(package.size))
    }
}

impl fmt::Display for ApkRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.packages.len() {
            1 => f.write_str("apk: 1 package"),
            count => write!(f, "apk: {count} packages"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_list_is_sorted_and_has_versions_and_tags() {
        let package = |name: &str, tag: Option<&str>| ApkPackage {
            name: name.into(),
            version: "1-r0".into(),
            repository: "https://r.example.org".into(),
            checksum: "Q1".into(),
            size: 7,
            tag: tag.map(str::to_owned),
            versioned_libraries: Vec::new(),
        };
        let root =
            ApkRoot { packages: vec![package("b", None), package("a", Some("edge"))], ..ApkRoot::default() };
        assert_eq!(root.locked(), ["a=1-r0@edge", "b=1-r0"]);
        let with = |libraries: &[&str]| ApkPackage {
            versioned_libraries: libraries.iter().map(|name| (*name).to_owned()).collect(),
            ..package("c", None)
        };
        let versions = ApkRoot { packages: vec![with(&["liba.so.1"]), with(&[])], ..ApkRoot::default() };
        assert_eq!(versions.library_versions(), [("liba.so.1".to_owned(), "1-r0".to_owned())].into());
        assert_eq!((root.to_string(), root.bytes()), ("apk: 2 packages".into(), 14));
    }
}
