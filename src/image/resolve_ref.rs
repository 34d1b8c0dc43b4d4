//! The source of an image reference: the type of the file at its path.
//!
//! After [`Reference::parse`], before the recipe that the store keys. This module only reads.

use std::{fs, io::Read, path::Path};

use crate::{
    exit::Failure,
    plan::{
        DebianRoot, IMAGE_FORMS as FORMS, ImageReference as Reference, ImageSource as Source,
        unsupported_image as unsupported,
    },
};

/// The source of a reference.
pub fn locate(reference: Reference) -> Result<Source, Failure> {
    match reference {
        Reference::Debian { suite, packages } => {
            Ok(Source::Debian(DebianRoot { suite, packages, repositories: Vec::new() }))
        }
        Reference::Path(path) => locate_path(&path),
    }
}

fn locate_path(path: &Path) -> Result<Source, Failure> {
    let text = path.display().to_string();
    let unreadable = |error: std::io::Error| Failure::host(format!("read image {text}: {error}"), FORMS);
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(_) if is_registry_reference(&text) => return Err(unsupported(&text)),
        Err(error) => return Err(unreadable(error)),
    };
    let path = fs::canonicalize(path).map_err(unreadable)?;
    if metadata.is_dir() {
        if path.join("oci-layout").is_file() {
            return Err(unsupported(&text));
        }
        return Ok(Source::Directory(path));
    }
    let mut head = Vec::new();
    if metadata.is_file() {
        fs::File::open(&path).and_then(|file| file.take(512).read_to_end(&mut head)).map_err(unreadable)?;
    }
    if is_tar(&head) {
        return Ok(Source::Tar(path));
    }
    Err(Failure::host(format!("image {text} is neither a directory nor a tar archive"), FORMS))
}

/// `host/name`, `name:tag`, `name@digest`: the forms of a registry's references.
fn is_registry_reference(text: &str) -> bool {
    if text.starts_with(['/', '.', '~']) {
        return false;
    }
    let host = text.split_once('/').map_or("", |(host, _)| host);
    let last = text.rsplit('/').next().unwrap_or(text);
    host.contains(['.', ':']) || host == "localhost" || last.contains([':', '@'])
}

/// By magic: ustar at 257, or a compressed file.
fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar") || Compression::of(head).is_some()
}

/// How a tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// RFC 1952.
    Gzip,
    /// The .xz format.
    Xz,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// By magic, not by name.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Code;

    #[test]
    fn unsupported_references_are_named() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("oci-layout"), "{}").expect("written");
        let layout = directory.path().to_str().expect("UTF-8").to_owned();
        for text in
            ["oci:x", "alpine:3.19", "ghcr.io/a/b", "localhost/a", "a@sha256:0", "docker://alpine", &layout]
        {
            let failure = Reference::parse(text).and_then(locate).unwrap_err();
            assert_eq!(failure.code, Code::Host, "{text}");
            assert!(failure.what.contains("not supported yet") && failure.what.contains(text), "{failure}");
        }
    }

    #[test]
    fn a_missing_path_is_named() {
        for text in ["/nowhere/root", "./no:where", "nowhere"] {
            let failure = Reference::parse(text).and_then(locate).unwrap_err();
            assert_eq!(failure.code, Code::Host);
            assert!(failure.what.contains(text) && failure.what.contains("No such file"), "{failure}");
        }
    }

    #[test]
    fn directories_and_tars_are_known_by_their_content() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| directory.path().join(name);
        let mut ustar = vec![0; 512];
        ustar[257..262].copy_from_slice(b"ustar");
        fs::write(at("a.zip"), ustar).expect("written");
        fs::write(at("b"), [0x28, 0xb5, 0x2f, 0xfd, 0]).expect("written");
        fs::write(at("c.tar"), "no tar").expect("written");
        assert!(matches!(locate_path(directory.path()), Ok(Source::Directory(_))));
        assert!(matches!(locate_path(&at("a.zip")), Ok(Source::Tar(_))));
        assert!(matches!(locate_path(&at("b")), Ok(Source::Tar(_))));
        assert!(locate_path(&at("c.tar")).unwrap_err().what.contains("neither a directory nor a tar"));
    }
}
