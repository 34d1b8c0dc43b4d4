//! Facts that tests make by hand.

use std::sync::Arc;

use super::{Elf, FileFacts, Kind, Machine, PackageFacts, Special};

/// A package of entries.
pub(crate) fn package(name: &str, files: impl IntoIterator<Item = FileFacts>) -> PackageFacts {
    let mut package = PackageFacts::new(name);
    for file in files {
        package.push(file).expect("it is small");
    }
    package
}

/// A directory.
pub(crate) fn directory(path: &str) -> FileFacts {
    FileFacts { kind: Kind::Directory, mode: 0o755, size: 0, ..file(path) }
}

/// A regular file of two bytes.
pub(crate) fn file(path: &str) -> FileFacts {
    FileFacts {
        path: path.as_bytes().into(),
        kind: Kind::Regular { sha1: None },
        mode: 0o644,
        size: 2,
        special: None,
    }
}

/// A symbolic link.
pub(crate) fn link(path: &str, target: &str) -> FileFacts {
    let kind = Kind::Symlink { target: target.as_bytes().into() };
    FileFacts { kind, mode: 0o777, size: 0, ..file(path) }
}

/// A regular file with more to it.
pub(crate) fn special(path: &str, special: Special) -> FileFacts {
    FileFacts { special: Some(Arc::new(special)), ..file(path) }
}

/// A library with a name.
pub(crate) fn library(path: &str, soname: &str) -> FileFacts {
    let elf = Elf { sonames: [soname.as_bytes().into()].into(), ..elf() };
    special(path, Special { elf: Some(Ok(elf)), ..Special::default() })
}

/// An ELF file that needs nothing.
pub(crate) fn elf() -> Elf {
    Elf {
        machine: Machine(62),
        interpreter: None,
        needed: Box::default(),
        sonames: Box::default(),
        dynamic_is_broken: false,
        is_unstripped: false,
        loads_openssl: false,
    }
}
