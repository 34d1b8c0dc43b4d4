//! Writes the small files of the world (`/etc/resolv.conf`, `/etc/hosts`, …).

use std::{
    fs::{self, Permissions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use anyhow::{Context, Result};
use kiln_protocol::TextFile;
use nix::libc;

/// Writes one file, replacing what is there; a symbolic link is replaced, not followed.
pub(crate) fn write(file: &TextFile) -> Result<()> {
    let TextFile { path, text, mode } = file;
    let context = || format!("write {path}");
    if let Some(parent) = Path::new(path).parent() {
        fs::create_dir_all(parent).with_context(context)?;
    }
    if Path::new(path).is_symlink() {
        fs::remove_file(path).with_context(context)?;
    }
    // Written in place, not renamed over: in a container the file may be a mount of its own.
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(libc::O_NOFOLLOW);
    let mut written = options.open(path).with_context(context)?;
    written.write_all(text.as_bytes()).with_context(context)?;
    written.set_permissions(Permissions::from_mode(*mode)).with_context(context)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_replaced_and_its_target_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let (target, link) = (directory.path().join("target"), directory.path().join("new/link"));
        fs::write(&target, "old").expect("written");
        fs::create_dir(directory.path().join("new")).expect("made");
        symlink(&target, &link).expect("linked");
        let path = link.to_string_lossy().into_owned();
        for text in ["a longer text", "short"] {
            write(&TextFile { path: path.clone(), text: text.into(), mode: 0o640 }).expect("written");
            assert_eq!(fs::read_to_string(&link).expect("read"), text);
        }
        assert_eq!(fs::read_to_string(&target).expect("read"), "old");
        let metadata = fs::symlink_metadata(&link).expect("there");
        assert!(metadata.is_file());
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o640);
    }
}
