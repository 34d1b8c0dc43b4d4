//! Linters of programs and libraries.

use super::subject::{Architecture, Details, Items, Outcome, Subject, extension, path_of};
use crate::package::facts::FileFacts;

const EXECUTABLE: u32 = 0o111;
/// What the extension of an object or library starts with.
const OBJECTS: [&[u8]; 3] = [b".a", b".so", b".dylib"];
/// Where kiln writes the SBOM.
const SBOM_DIRECTORY: &[u8] = b"var/lib/db/sbom/";
/// Packages and directories that debugging information is put into.
const DEBUGGING_PACKAGES: [&str; 3] = ["-dbg", "-debug", "-debuginfo"];
const DEBUGGING_DIRECTORY: &[u8] = b"usr/lib/debug/";

pub(super) fn binaryarch(subject: &Subject<'_>) -> Option<Outcome> {
    let found = subject.files().filter(|file| is_binary(file)).filter_map(|file| {
        let machine = file.elf()?.machine;
        (!machine.is_supported()).then(|| Architecture { path: path_of(file), arch: machine.name() })
    });
    let items = Items::of(found).if_any()?;
    let (count, binaries) = (items.count, items.word("binary", "binaries"));
    let message =
        format!("{} contains {count} {binaries} compiled for unsupported architecture(s)", subject.name);
    Some(Outcome::new(message, Details::Architectures { binaries: items.list }))
}

/// melange looks for sections named exactly `.debug`, which compilers have not made for decades.
pub(super) fn strip(subject: &Subject<'_>) -> Option<Outcome> {
    if DEBUGGING_PACKAGES.iter().any(|ending| subject.name.ends_with(ending)) {
        return None;
    }
    let is_candidate = |file: &&FileFacts| is_binary(file) && !file.path.starts_with(DEBUGGING_DIRECTORY);
    let binaries = subject.files().filter(is_candidate);
    let unstripped = binaries.filter(|file| file.elf().is_some_and(|elf| elf.is_unstripped));
    if let Some(items) = Items::of(unstripped.map(path_of)).if_any() {
        let (count, binaries) = (items.count, items.word("binary", "binaries"));
        let message = format!("{} contains {count} unstripped {binaries}", subject.name);
        return Some(Outcome::new(message, Details::Binaries { binaries: items.list }));
    }
    subject.files().filter(is_candidate).find_map(|file| {
        let why = file.special.as_ref()?.elf.as_ref()?.as_ref().err()?;
        Some(Outcome::plain(format!("could not open file {:?} as executable: {why}", path_of(file))))
    })
}

/// Whether a file is meant to be run or linked.
fn is_binary(file: &FileFacts) -> bool {
    let is_object = || OBJECTS.iter().any(|object| extension(&file.path).starts_with(object));
    file.is_regular()
        && !file.path.starts_with(SBOM_DIRECTORY)
        && (file.mode & EXECUTABLE != 0 || is_object())
}

/// A package without any file.
pub(super) fn empty(subject: &Subject<'_>) -> Option<Outcome> {
    let is_file = |file: &FileFacts| !file.is_directory() && !file.path.starts_with(SBOM_DIRECTORY);
    let has_file = subject.files().any(is_file);
    (!has_file).then(|| Outcome::plain("package is empty but no-provides is not set"))
}
