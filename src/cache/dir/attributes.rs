//! Extended attributes: those that are copied with a file, and those that are harmful.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, ErrorKind},
    os::unix::ffi::OsStrExt,
};

use nix::errno::Errno;
use xattr::FileExt as _;

use super::BeneathDir;

/// The namespace of attributes that users may set (xattr(7)).
const USER: &[u8] = b"user.";

/// A program that has it runs with capabilities (capabilities(7), "File capabilities").
const CAPABILITY: &[u8] = b"security.capability";

/// Attributes that a file system or a container tool obeys. Where the cache is mounted, a file with one of them appears with
/// another owner, mode or content.
const OBEYED: [&[u8]; 6] = [
    // overlayfs: opaque directories, whiteouts, redirects, content that lies elsewhere.
    b"trusted.overlay.",
    // The same, mounted with `userxattr`.
    b"user.overlay.",
    b"user.fuseoverlayfs.",
    // QEMU's 9p server with `mapped-xattr`: owner, mode and device number.
    b"user.virtfs.",
    // containers/storage: owner and mode (`user.containers.override_stat`).
    b"user.containers.",
    // PRoot and umoci: owner.
    b"user.rootlesscontainers",
];

/// Whether an attribute of this name is copied with a file.
pub(in crate::cache) fn is_kept(name: &[u8]) -> bool {
    name.starts_with(USER) && !is_harmful(name)
}

/// Whether an attribute of this name gives a file more rights than its mode says, or another appearance.
pub(in crate::cache) fn is_harmful(name: &[u8]) -> bool {
    name == CAPABILITY || OBEYED.iter().any(|space| name.starts_with(space))
}

/// The attributes of a file that are copied with it, by name.
pub(in crate::cache) fn user_attributes(file: &File) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let names = match file.list_xattr() {
        Err(error) if is_unsupported(&error) => return Ok(Vec::new()),
        names => names?,
    };
    let mut found = Vec::new();
    for name in names.filter(|name| is_kept(name.as_bytes())) {
        if let Some(value) = file.get_xattr(&name)? {
            found.push((name.as_bytes().to_vec(), value));
        }
    }
    found.sort();
    Ok(found)
}

/// The names of the harmful attributes of an entry, which need not be readable.
pub(in crate::cache) fn harmful(parent: &BeneathDir, name: &[u8]) -> io::Result<Vec<OsString>> {
    match xattr::list(parent.path_of(name)) {
        Ok(names) => Ok(names.filter(|name| is_harmful(name.as_bytes())).collect()),
        Err(error) if is_unsupported(&error) || error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Removes an attribute of an entry.
pub(in crate::cache) fn remove(parent: &BeneathDir, name: &[u8], attribute: &OsStr) -> io::Result<()> {
    xattr::remove(parent.path_of(name), attribute)
}

/// Whether the file system has no attributes at all.
fn is_unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_users_are_kept_and_harmful_ones_are_not() {
        for (name, kept, harmful) in [
            ("user.note", true, false),
            ("user.overlayfs", true, false),
            ("user.overlay.opaque", false, true),
            ("user.overlay.redirect", false, true),
            ("user.overlay.overlay.opaque", false, true),
            ("user.fuseoverlayfs.opaque", false, true),
            ("user.virtfs.uid", false, true),
            ("user.containers.override_stat", false, true),
            ("user.rootlesscontainers", false, true),
            ("trusted.overlay.metacopy", false, true),
            ("trusted.note", false, false),
            ("security.capability", false, true),
            ("security.selinux", false, false),
        ] {
            let name = name.as_bytes();
            assert_eq!(
                (is_kept(name), is_harmful(name)),
                (kept, harmful),
                "{}",
                String::from_utf8_lossy(name)
            );
        }
    }
}
