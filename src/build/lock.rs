//! `--lock` and `--locked`: the packages of a root in a file, each by its checksum, so that later builds take the same ones.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::{
    exit::Failure,
    files::{Durability, write_atomically},
    image::ApkRequest,
    input,
    plan::ApkRoot,
};

/// The number of the form.
const FORM: u32 = 1;
/// More than the packages of any root take.
const MOST_BYTES: usize = 16 << 20;

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Lock {
    kiln_lock: u32,
    arch: String,
    /// The packages that were requested; a build file that requests others needs another lock.
    requested: Vec<String>,
    #[serde(flatten)]
    root: ApkRoot,
}

/// Writes the packages of a root.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write(path: &Path, request: &ApkRequest, root: &ApkRoot) -> Result<()> {
    let ApkRequest { arch, packages: requested, .. } = request.clone();
    let lock = Lock { kiln_lock: FORM, arch, requested, root: root.clone() };
    let mut text = serde_json::to_string_pretty(&lock)?;
    text.push('\n');
    write_atomically(path, text.as_bytes(), Durability::Content).map_err(|error| {
        Failure::host(
            format!("--lock: {error:#}"),
            "Name a file in a directory that exists and that this user can write.",
        )
        .into()
    })
}

/// Reads the packages of a root.
///
/// # Errors
/// A usage failure for a file that is no lock, was made for another request, or names repositories that the build does not have.
pub(super) fn read(path: &Path, request: &ApkRequest) -> Result<ApkRoot, Failure> {
    let refuse = |why: String| {
        Failure::usage(
            format!("--locked: {} {why}", path.display()),
            "Make it anew: kiln plan FILE --lock LOCK, with the same repositories.",
        )
    };
    let bytes = input::read(path, MOST_BYTES).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    if bytes.len() > MOST_BYTES {
        return Err(refuse(format!("is larger than {} MiB", MOST_BYTES >> 20)));
    }
    let lock: Lock =
        serde_json::from_slice(&bytes).map_err(|error| refuse(format!("is not a lock: {error}")))?;
    if lock.kiln_lock != FORM {
        return Err(refuse(format!("has the form {}, and this kiln knows {FORM}", lock.kiln_lock)));
    }
    if lock.arch != request.arch {
        return Err(refuse(format!("is for {}, and the build for {}", lock.arch, request.arch)));
    }
    if lock.requested != request.packages {
        let other = request.packages.iter().find(|name| !lock.requested.contains(name));
        let other = other.or_else(|| lock.requested.iter().find(|name| !request.packages.contains(name)));
        return Err(refuse(format!("is for other packages: {}", other.map_or("", |name| name.as_str()))));
    }
    let known = request.addresses()?;
    for package in &lock.root.packages {
        if !package.is_valid() {
            return Err(refuse(format!("has an entry that names no package: {:?}", package.name)));
        }
        if !known.contains(&package.repository) {
            return Err(refuse(format!(
                "has {} of {}, which is no repository of this build",
                package.name, package.repository
            )));
        }
    }
    Ok(lock.root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{exit::Code, plan::ApkPackage};

    fn request(packages: &[&str]) -> ApkRequest {
        ApkRequest {
            repositories: vec!["https://me:secret@r.example.org/os/".into()],
            packages: packages.iter().map(|name| (*name).to_owned()).collect(),
            arch: "x86_64".into(),
            ..ApkRequest::default()
        }
    }

    fn root(name: &str, repository: &str) -> ApkRoot {
        let package = ApkPackage {
            name: name.into(),
            version: "1-r0".into(),
            repository: repository.into(),
            checksum: "Q11LIKtm7p2BYVUrBOTliMhTaU7/s=".into(),
            size: 7,
            tag: None,
            versioned_libraries: vec!["liba.so.1".into()],
        };
        ApkRoot { packages: vec![package], ..ApkRoot::default() }
    }

    #[test]
    fn a_lock_is_read_for_the_request_that_it_was_made_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock.json");
        let (asked, chosen) = (request(&["a"]), root("a", "https://r.example.org/os"));
        write(&path, &asked, &chosen).expect("written");
        assert!(!std::fs::read_to_string(&path).expect("text").contains("secret"));
        assert_eq!(read(&path, &asked), Ok(chosen));
        let other = ApkRequest { arch: "aarch64".into(), ..asked.clone() };
        for (request, part) in [
            (&request(&["a", "b"]), "other packages: b"),
            (&request(&[]), "other packages: a"),
            (&other, "is for x86_64"),
        ] {
            let failure = read(&path, request).expect_err("refused");
            assert_eq!(failure.code, Code::Usage);
            assert!(failure.what.contains(part), "{failure}");
        }
    }

    #[test]
    fn a_lock_that_names_other_places_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock.json");
        let asked = request(&["a"]);
        for (root, part) in [
            (root("a", "https://other.example.org"), "no repository of this build"),
            (root("../../x", "https://r.example.org/os"), "names no package"),
        ] {
            write(&path, &asked, &root).expect("written");
            assert!(read(&path, &asked).expect_err("refused").what.contains(part));
        }
        std::fs::write(&path, "{}").expect("written");
        assert!(read(&path, &asked).expect_err("refused").what.contains("is not a lock"));
        assert!(
            read(&directory.path().join("gone"), &asked)
                .expect_err("refused")
                .what
                .contains("cannot be read")
        );
    }
}
