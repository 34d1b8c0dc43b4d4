//! How much of a root's packages is to be fetched.

use std::path::Path;

use data_encoding::HEXLOWER;
use serde::Serialize;

use crate::{
    apk::Record,
    plan::{ApkPackage, ApkRoot},
};

/// The packages of a root, and those of them that the cache has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Downloads {
    /// The number of packages.
    pub packages: usize,
    /// How many of them are to be fetched.
    pub missing: usize,
    /// The bytes that are to be fetched.
    pub missing_bytes: u64,
    /// The bytes of packages that are there.
    pub present_bytes: u64,
}

impl Downloads {
    /// Looks into the cache, without reading the packages in it.
    pub(in crate::image) fn of(root: &ApkRoot, cache: &Path) -> Self {
        let mut all = Self { packages: root.packages.len(), ..Self::default() };
        for package in &root.packages {
            if is_present(package, cache) {
                all.present_bytes = all.present_bytes.saturating_add(package.size);
            } else {
                all.missing += 1;
                all.missing_bytes = all.missing_bytes.saturating_add(package.size);
            }
        }
        all
    }

    /// Those of a root whose image exists: nothing is fetched for it.
    pub(in crate::image) fn of_image(root: &ApkRoot) -> Self {
        let bytes = root.packages.iter().fold(0, |sum: u64, package| sum.saturating_add(package.size));
        Self { packages: root.packages.len(), present_bytes: bytes, ..Self::default() }
    }
}

/// Whether the cache has a package. Its control section comes last.
fn is_present(package: &ApkPackage, cache: &Path) -> bool {
    let record = Record { checksum: &package.checksum, ..Record::default() };
    let sum = record.control_sha1();
    sum.is_some_and(|sum| cache.join("control").join(HEXLOWER.encode(&sum)).exists())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn packages_in_the_cache_are_not_fetched() {
        let package = |checksum: &str, size| ApkPackage {
            name: "a".into(),
            version: "1".into(),
            repository: "r".into(),
            checksum: checksum.into(),
            size,
            tag: None,
            versioned_libraries: Vec::new(),
        };
        let (there, missing) = ("Q11LIKtm7p2BYVUrBOTliMhTaU7/s=", "Q180bB1CKXzv8BSFaw1wcingl3SEo=");
        let packages = vec![package(there, 10), package(missing, u64::MAX), package("none", 5)];
        let root = ApkRoot { packages, ..ApkRoot::default() };
        let cache = tempfile::tempdir().expect("a directory");
        let sum = Record { checksum: there, ..Record::default() }.control_sha1().expect("a checksum");
        fs::create_dir(cache.path().join("control")).expect("made");
        fs::write(cache.path().join("control").join(HEXLOWER.encode(&sum)), "").expect("written");
        assert_eq!(
            Downloads::of(&root, cache.path()),
            Downloads { packages: 3, missing: 2, missing_bytes: u64::MAX, present_bytes: 10 }
        );
        assert_eq!(
            Downloads::of_image(&root),
            Downloads { packages: 3, missing: 0, missing_bytes: 0, present_bytes: u64::MAX }
        );
    }
}
