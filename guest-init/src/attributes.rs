//! The extended attributes of an exported file: file capabilities and `user.*`. Those of overlayfs are dropped, except the
//! opaque mark of an upper directory.

use std::{ffi::OsStr, fs::File, os::unix::ffi::OsStrExt};

use anyhow::{Context, Result, bail};
use nix::libc;
use xattr::FileExt;

/// The kind of an exported tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Files as steps see them.
    Tree,
    /// The upper directory of an overlay.
    Upper,
    /// A part of an overlay, both layers in one.
    Merged,
}

/// An attribute's name and value.
pub(crate) type Attribute = (Vec<u8>, Vec<u8>);

/// In the upper layer, an overlay's attribute of a renamed directory: the path of its lower part.
const REDIRECT: &str = "trusted.overlay.redirect";

/// The mark of an opaque directory: it hides the lower directory of its name.
pub(crate) fn opaque() -> Attribute {
    (OPAQUE.to_vec(), b"y".to_vec())
}

/// Whether a directory of an upper layer was renamed, so that its lower part has another path.
pub(crate) fn is_renamed(directory: &File) -> Result<bool> {
    match directory.get_xattr(REDIRECT) {
        Ok(value) => Ok(value.is_some()),
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(false),
        Err(error) => Err(error).context("read its extended attributes"),
    }
}

/// How the stream marks an opaque directory, with and without `userxattr`.
const OPAQUE: &[u8] = b"trusted.overlay.opaque";

/// The name spaces of overlayfs: its usual one, and that of `userxattr`.
const OVERLAY: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// How an attribute is exported.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Dropped,
    /// It is sent under this name if its value is `y`.
    Opaque,
    /// The file cannot be understood without the lower layers.
    Refused,
}

/// The attributes of `file` that are exported, sorted.
pub(crate) fn of(file: &File, form: Form) -> Result<Vec<Attribute>> {
    let names = match file.list_xattr() {
        Ok(names) => names,
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(error).context("list its extended attributes"),
    };
    let mut attributes = Vec::new();
    for name in names {
        let value = |name: &OsStr| file.get_xattr(name).context("read its extended attributes");
        match fate(name.as_bytes(), form) {
            Fate::Kept => attributes.extend(value(&name)?.map(|value| (name.as_bytes().to_vec(), value))),
            Fate::Opaque if value(&name)?.as_deref() == Some(b"y") => {
                attributes.push(opaque());
            }
            Fate::Opaque | Fate::Dropped => {}
            Fate::Refused => bail!("it lies in a lower layer of the overlay ({})", name.display()),
        }
    }
    attributes.sort_unstable();
    attributes.dedup();
    Ok(attributes)
}

fn fate(name: &[u8], form: Form) -> Fate {
    let of_overlay = OVERLAY.iter().find_map(|space| name.strip_prefix(*space));
    match (of_overlay, form) {
        (Some(b"opaque"), Form::Upper) => Fate::Opaque,
        (Some(b"metacopy" | b"redirect"), Form::Upper) => Fate::Refused,
        (Some(_), Form::Tree | Form::Upper | Form::Merged) => Fate::Dropped,
        (None, _) if name.starts_with(b"user.") || name == b"security.capability" => Fate::Kept,
        (None, _) => Fate::Dropped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_overlayfs_are_dropped_except_the_opaque_mark_of_an_upper_directory() {
        let cases: [(&[u8], Fate, Fate); 9] = [
            (b"user.kiln", Fate::Kept, Fate::Kept),
            (b"security.capability", Fate::Kept, Fate::Kept),
            (b"security.selinux", Fate::Dropped, Fate::Dropped),
            (b"trusted.overlay.opaque", Fate::Dropped, Fate::Opaque),
            (b"user.overlay.opaque", Fate::Dropped, Fate::Opaque),
            (b"trusted.overlay.impure", Fate::Dropped, Fate::Dropped),
            (b"user.overlay.origin", Fate::Dropped, Fate::Dropped),
            (b"trusted.overlay.metacopy", Fate::Dropped, Fate::Refused),
            (b"user.overlay.redirect", Fate::Dropped, Fate::Refused),
        ];
        for (name, tree, upper) in cases {
            assert_eq!((fate(name, Form::Tree), fate(name, Form::Upper)), (tree, upper), "{name:?}");
        }
    }
}
